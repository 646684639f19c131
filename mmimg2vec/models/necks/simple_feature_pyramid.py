"""Feature pyramid from the last feature map of a plain backbone (ViTDet, arXiv 2203.16527, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmimg2vec.errors import UserError
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Maps of several scales, all made from the last one of the backbone.

    ::

        inputs[-1] --+-- x4:   deconv, norm, GELU, deconv --+
          (B, C,     +-- x2:   deconv ----------------------+-- conv 1x1, norm -- conv 3x3, norm --> levels
           H, W)     +-- x1:   -----------------------------+                                  |
                     +-- x0.5: max pool ---------------------+     the last one, every 2nd pixel --> extra levels

    Args:
        in_channels: Channels of the backbone's map; a multiple of 4.
        out_channels: Channels of every level.
        scales: Sizes of the levels relative to the backbone's map, largest first; some of 4, 2, 1 and 0.5.
        num_outs: Levels returned; those beyond ``scales`` take every second pixel of the level before.
        norm_cfg: Norm after each convolution; None is LayerNorm over channels (``mmpretrain.LN2d``, eps 1e-6).
        init_cfg: As mmengine's.

    Raises:
        UserError: Unknown scales, channels that do not divide by 4, or fewer levels than scales.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 256,
        scales: Sequence[float] = (4, 2, 1, 0.5),
        num_outs: int = 5,
        norm_cfg: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        norm_cfg = norm_cfg or dict(type='mmpretrain.LN2d', eps=1e-6)
        if not scales or list(scales) != sorted(set(scales) & {4, 2, 1, 0.5}, reverse=True):
            raise UserError(
                f'scales={tuple(scales)} of SimpleFeaturePyramid: choose among (4, 2, 1, 0.5), in that order'
            )
        if in_channels % 4:
            raise UserError(
                f"in_channels={in_channels} of SimpleFeaturePyramid: the backbone's width has to divide by 4"
            )
        if num_outs < len(scales):
            raise UserError(
                f'num_outs={num_outs} of SimpleFeaturePyramid is less than its {len(scales)} scales; raise it'
            )
        self.num_extra = num_outs - len(scales)
        self.levels = nn.ModuleList(_level(in_channels, out_channels, scale, norm_cfg) for scale in scales)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Build the pyramid.

        Args:
            inputs: Maps of the backbone; the last one, ``(B, in_channels, H, W)``, is used.

        Returns:
            ``num_outs`` maps ``(B, out_channels, h, w)``, largest first.
        """
        outputs = [level(inputs[-1]) for level in self.levels]
        for _ in range(self.num_extra):
            outputs.append(F.max_pool2d(outputs[-1], kernel_size=1, stride=2))
        return tuple(outputs)


def _level(in_channels: int, out_channels: int, scale: float, norm_cfg: dict) -> nn.Sequential:
    resize: list[nn.Module] = []
    channels = in_channels
    if scale == 0.5:
        resize = [nn.MaxPool2d(2)]
    if scale >= 2:
        channels = in_channels // 2
        resize = [nn.ConvTranspose2d(in_channels, channels, 2, stride=2)]
    if scale == 4:
        resize += [build_norm_layer(norm_cfg, channels)[1], nn.GELU()]
        resize += [nn.ConvTranspose2d(channels, channels // 2, 2, stride=2)]
        channels //= 2
    options = dict(norm_cfg=norm_cfg, act_cfg=None)
    return nn.Sequential(
        *resize,
        ConvModule(channels, out_channels, 1, **options),
        ConvModule(out_channels, out_channels, 3, padding=1, **options),
    )
