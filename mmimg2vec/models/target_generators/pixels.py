"""Pixels as the target: what MAE and MFF predict."""

from __future__ import annotations

import torch
from mmpretrain.models.heads import MAEPretrainHead
from torch import Tensor

from mmimg2vec.errors import UserError
from mmimg2vec.models.target_generators.base import TargetGenerator, TargetLayout
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class PixelTargetGenerator(TargetGenerator):
    """The pixels of each patch, as ``mmpretrain.MAEPretrainHead`` cuts and normalizes them.

    Source: MAE (arXiv 2111.06377, section 3). There are no weights and there is no feature of the whole image. A token
    holds its patch row by row, the channels of a pixel side by side.

    Args:
        norm_pix: Normalize each patch by its own mean and standard deviation, as MAE and MFF do; else the values are
            those of the student's preprocessor.
    """

    def __init__(self, norm_pix: bool = True) -> None:
        super().__init__()
        self.norm_pix = norm_pix

    def connect(self, patch_size: tuple[int, int], in_channels: int, mean: Tensor | None, std: Tensor | None) -> None:
        """Tell the generator about the student; arguments as :meth:`TargetGenerator.connect`.

        Raises:
            UserError: The patches are not square.
        """
        height, width = patch_size
        if height != width:
            raise UserError(f'pixel targets need square patches, but model.backbone.patch_size is {(height, width)}')
        self.pixels = MAEPretrainHead(
            loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2'),  # not used here
            norm_pix=self.norm_pix,
            patch_size=height,
            in_channels=in_channels,
        )

    def describe(self, img_size: tuple[int, int]) -> TargetLayout:
        """Grid and widths for images of ``(height, width)``.

        Raises:
            UserError: The images are not square, which mmpretrain's head takes for granted.
        """
        if img_size[0] != img_size[1]:
            raise UserError(f'pixel targets need square images, but model.backbone.img_size is {tuple(img_size)}')
        patch = self.pixels.patch_size
        side = img_size[0] // patch
        return TargetLayout((side, side), patch**2 * self.pixels.in_channels, 0)

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """``tokens``: ``(B, C, H, W)`` -> ``(B, L, patch_size ** 2 * C)`` float32, in raster order."""
        return {'tokens': self.pixels.construct_target(images.float())}
