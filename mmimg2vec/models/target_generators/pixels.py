"""Pixels as the target: what MAE and MFF predict."""

from __future__ import annotations

import torch
from torch import Tensor

from mmimg2vec.models.target_generators.base import TargetGenerator, TargetLayout
from mmimg2vec.registry import MODELS

# Of the variance of a patch, so that a flat one divides by no zero (MAE's official code).
_EPS = 1e-6


@MODELS.register_module()
class PixelTargetGenerator(TargetGenerator):
    """The pixels of each patch, cut and normalized as in MAE's official code; images and patches of any shape.

    Source: MAE (arXiv 2111.06377, section 3). There are no weights and there is no feature of the whole image. A token
    holds its patch row by row, the channels of a pixel side by side. (``mmpretrain.MAEPretrainHead`` gives the same
    values, for square images.)

    Args:
        norm_pix: Normalize each patch by its own mean and standard deviation, as MAE and MFF do; else the values are
            those of the student's preprocessor.
    """

    def __init__(self, norm_pix: bool = True) -> None:
        super().__init__()
        self.norm_pix = norm_pix

    def connect(self, patch_size: tuple[int, int], in_channels: int, mean: Tensor | None, std: Tensor | None) -> None:
        """Tell the generator about the student; arguments as :meth:`TargetGenerator.connect`."""
        self.patch_size = patch_size
        self.in_channels = in_channels

    def describe(self, img_size: tuple[int, int]) -> TargetLayout:
        """Grid and widths for images of ``(height, width)``."""
        height, width = self.patch_size
        grid = (img_size[0] // height, img_size[1] // width)
        return TargetLayout(grid, height * width * self.in_channels, 0)

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """``tokens``: ``(B, C, H, W)`` -> ``(B, L, patch height * width * C)`` float32, in raster order."""
        height, width = self.patch_size
        # (B, C, rows, height, columns, width) -> (B, rows, columns, height, width, C)
        patches = images.float().unflatten(3, (-1, width)).unflatten(2, (-1, height)).permute(0, 2, 4, 3, 5, 1)
        tokens = patches.flatten(3).flatten(1, 2)
        if self.norm_pix:
            # In the order of mmpretrain's operations: the same rounding, and so the same weights after a resume.
            mean, variance = tokens.mean(dim=-1, keepdim=True), tokens.var(dim=-1, keepdim=True)
            tokens = (tokens - mean) / (variance + _EPS) ** 0.5
        return {'tokens': tokens}
