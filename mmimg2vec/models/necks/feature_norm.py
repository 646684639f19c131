"""Batch norm of feature maps, in front of a linear head on frozen features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor

from mmimg2vec.registry import MODELS


@MODELS.register_module()
class FeatureNorm(BaseModule):
    """A norm of each feature map, and nothing else.

    With mmseg's ``FCNHead(num_convs=0, concat_input=False)``, a 1 x 1 convolution, behind it, the two are the linear
    segmentation probe of DINOv2 (arXiv 2304.07193, section 7.4), whose tokens are normalized over the batch first:
    frozen features of different networks differ in scale, and one learning rate has to serve all.

    Args:
        in_channels: Channels of each map.
        norm_cfg: Of the norm; ``SyncBN`` takes its statistics over all GPUs.
        init_cfg: Of mmengine's ``BaseModule``.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        norm_cfg: Mapping[str, Any],
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        widths = [in_channels] if isinstance(in_channels, int) else in_channels
        for index, width in enumerate(widths):
            self.add_module(f'norm{index}', build_norm_layer(dict(norm_cfg), width)[1])

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Normalize maps ``(B, C, H, W)``; there are as many as ``in_channels`` has entries."""
        return tuple(norm(x) for norm, x in zip(self.children(), inputs, strict=True))
