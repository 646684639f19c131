"""CLIP's image tower."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor, nn

from mmimg2vec.checkpoint.layouts.clip import image_tower
from mmimg2vec.errors import UserError
from mmimg2vec.registry import MODELS

_ACTIVATIONS = {'quick_gelu': 'mmpretrain.QuickGELU', 'gelu': 'GELU'}


@MODELS.register_module()
class CLIPVisionTower(VisionTransformer):
    """The image half of CLIP (arXiv 2103.00020), all tokens projected into the space shared with the text.

    A ``mmpretrain.VisionTransformer`` with a norm before the first block and a linear map after the last norm.

    Args:
        out_channels: Width of the shared space; 512 for ViT-B.
        activation: Of the MLPs; the weights do not tell it. ``'quick_gelu'``: OpenAI's; ``'gelu'``: most that
            open_clip trained itself.
        **kwargs: As ``mmpretrain.VisionTransformer``: ``arch``, ``img_size``, ``patch_size``, ...

    Raises:
        UserError: The activation is not known.
    """

    def __init__(
        self,
        out_channels: int = 512,
        activation: Literal['quick_gelu', 'gelu'] = 'quick_gelu',
        **kwargs: Any,
    ) -> None:
        if activation not in _ACTIVATIONS:
            raise UserError(f"target_generator.teacher.activation={activation!r}: choose 'quick_gelu' or 'gelu'")
        defaults = dict(norm_cfg=dict(type='LN', eps=1e-5), pre_norm=True, out_type='raw')
        act_cfg = dict(type=_ACTIVATIONS[activation])
        super().__init__(**{**defaults, **kwargs}, layer_cfgs=dict(act_cfg=act_cfg))
        self.proj = nn.Linear(self.embed_dims, out_channels, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Images ``(B, 3, H, W)`` -> class token and patches ``(B, 1 + L, out_channels)``."""
        return (self.proj(super().forward(x)[-1]),)

    def convert_weights(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Pick this tower's weights out of a CLIP checkpoint; see :func:`image_tower`.

        Raises:
            UserError: There is no image tower in it, or one of another depth.
        """
        state = image_tower(weights)
        depth = len({name.split('.')[1] for name in state if name.startswith('layers.')})
        if depth != self.num_layers:
            raise UserError(
                f'its visual tower has {depth} blocks and the one of the config {self.num_layers}; set '
                'target_generator.teacher.arch to that of this checkpoint'
            )
        return state
