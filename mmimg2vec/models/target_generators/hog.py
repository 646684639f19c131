"""Histograms of oriented gradients as the target: MaskFeat's."""

from __future__ import annotations

import torch
from mmpretrain.models.selfsup.maskfeat import HOGGenerator
from torch import Tensor

from mmimg2vec.errors import UserError
from mmimg2vec.models.target_generators.base import TargetGenerator, TargetLayout
from mmimg2vec.registry import MODELS


class _Cells(HOGGenerator):
    """mmpretrain's, whose histograms stay on the grid of their cells instead of one of 14 x 14 patches."""

    def _reshape(self, hog_feat: Tensor) -> Tensor:
        return hog_feat.flatten(1, 2)


@MODELS.register_module()
class HOGTargetGenerator(TargetGenerator):
    """Histograms of oriented gradients per patch (MaskFeat, arXiv 2112.09133), by mmpretrain's ``HOGGenerator``.

    A token holds the histograms of the cells of its patch, each normalized to unit length, for each color. There are no
    weights and there is no feature of the whole image.

    Args:
        bins: Orientations of a histogram.
        cell: Side of a cell in pixels; it has to divide the patch.
        gaussian_window: Side in pixels of the window that weights gradients by their distance from its middle; 0: all
            count alike.
    """

    def __init__(self, bins: int = 9, cell: int = 8, gaussian_window: int = 16) -> None:
        super().__init__()
        self.bins, self.cell, self.window = bins, cell, gaussian_window
        self.cells = _Cells(bins, cell, gaussian_window)
        for module in self.cells.modules():  # derived from the arguments: out of every checkpoint
            module._non_persistent_buffers_set.update(module._buffers)

    def connect(self, patch_size: tuple[int, int], in_channels: int, mean: Tensor | None, std: Tensor | None) -> None:
        """Tell the generator about the student; arguments as :meth:`TargetGenerator.connect`.

        Raises:
            UserError: Cells do not divide its patches, or the images are not RGB.
        """
        if any(side % self.cell for side in patch_size) or in_channels != 3:
            raise UserError(
                f'HOGTargetGenerator: cells of {self.cell} px do not divide patches of {patch_size[0]} x '
                f'{patch_size[1]} px, or images have {in_channels} channels, not 3: set target_generator.cell'
            )
        self.patch_size = patch_size

    def describe(self, img_size: tuple[int, int]) -> TargetLayout:
        """Grid and widths for images of ``(height, width)``.

        Raises:
            UserError: The window does not divide the image, or the image is not square, as mmpretrain's wants it.
        """
        if self.window and (img_size[0] % self.window or img_size[0] != img_size[1]):
            raise UserError(
                f'HOGTargetGenerator: a window of {self.window} px takes square images of a multiple of that, not '
                f'{img_size[0]} x {img_size[1]}: set target_generator.gaussian_window=0'
            )
        height, width = self.patch_size
        cells = (height // self.cell) * (width // self.cell)
        return TargetLayout((img_size[0] // height, img_size[1] // width), 3 * self.bins * cells, 0)

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """``tokens``: ``(B, 3, H, W)`` -> ``(B, L, 3 * bins * cells of a patch)`` float32, in raster order."""
        with torch.autocast(images.device.type, enabled=False):  # histograms are added up in float32
            found = self.cells(images.float())  # (B, 3 * bins, H / cell, W / cell)
        down, across = (side // self.cell for side in self.patch_size)
        # (B, 3 * bins, rows, down, columns, across) -> (B, rows, columns, 3 * bins, down, across)
        patches = found.unflatten(3, (-1, across)).unflatten(2, (-1, down)).permute(0, 2, 4, 1, 3, 5)
        return {'tokens': patches.flatten(3).flatten(1, 2)}
