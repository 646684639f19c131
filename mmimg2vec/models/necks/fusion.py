"""Fusion of several encoder blocks into one set of latents."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmimg2vec.errors import UserError
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class MultiLevelFusion(BaseModule):
    """Softmax-weighted sum of the tokens of several blocks, each but the last behind a Linear of its own.

    Source: MFF (arXiv 2308.00261, section 3.2); Img2Vec's multi-block feature learning is taken to be the same
    (the project's choice, its paper gives no details). Parameter names are those of mmpretrain's ``MFFViT``.

    Args:
        embed_dims: Width of the tokens.
        blocks: Blocks to fuse (from 0), ascending; (0, 2, 4, 6, 8, 11) for a 12-block encoder in the MFF paper.

    Raises:
        UserError: Fewer than two blocks, or not ascending.
    """

    def __init__(self, embed_dims: int, blocks: Sequence[int]) -> None:
        super().__init__()
        self.blocks = tuple(blocks)
        if len(self.blocks) < 2 or list(self.blocks) != sorted(set(self.blocks)):
            raise UserError(
                f'fusion.blocks={self.blocks}: name two or more blocks in ascending order, or set fusion=None'
            )
        self.proj_layers = nn.ModuleList(nn.Linear(embed_dims, embed_dims) for _ in self.blocks[:-1])
        self.proj_weights = nn.Parameter(torch.ones(len(self.blocks), 1, 1, 1))

    @property
    def weights(self) -> Tensor:
        """Shares of the blocks, ``(len(blocks),)``, summing to one."""
        return self.proj_weights.flatten().softmax(dim=0)

    def shares(self) -> dict[str, Tensor]:
        """The blocks' shares under names for the log, ``fusion_weight_{block}``, without gradients."""
        weights = self.weights.detach()
        return {f'fusion_weight_{b}': w for b, w in zip(self.blocks, weights, strict=True)}

    def forward(self, tokens: Sequence[Tensor]) -> Tensor:
        """Fuse the blocks' tokens: ``len(blocks)`` x ``(B, N, C)`` -> ``(B, N, C)``."""
        *inner, last = tokens
        projected = [layer(x) for layer, x in zip(self.proj_layers, inner, strict=True)]
        return sum(weight * x for weight, x in zip(self.weights, [*projected, last], strict=True))
