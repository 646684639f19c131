"""Vision transformer that a probe reads and nothing changes."""

from __future__ import annotations

from typing import Any

import torch
from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor

from mmimg2vec.registry import MODELS


@MODELS.register_module()
class FrozenVisionTransformer(VisionTransformer):
    """``mmpretrain.VisionTransformer`` that stays as it is: no parameter is trained, and it is always in eval mode.

    mmpretrain's own ``frozen_stages`` takes the gradients only: the model's ``train()`` puts the blocks back into
    training mode, with their dropout and drop path. Names and ``init_cfg`` are the parent's.

    Args:
        **kwargs: As ``mmpretrain.VisionTransformer``; ``frozen_stages`` says nothing new.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> FrozenVisionTransformer:
        """Stay in eval mode, whatever is asked for."""
        super().train(False)
        return self

    @torch.no_grad()
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Encode images ``(B, C, H, W)`` as the parent does, without a graph."""
        return super().forward(x)
