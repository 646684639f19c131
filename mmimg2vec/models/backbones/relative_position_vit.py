"""Vision transformer with a relative position bias in every block, as CAE v2 is fine-tuned."""

from __future__ import annotations

from typing import Any

from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor

from mmimg2vec.errors import UserError
from mmimg2vec.models.layers.relative_position import RelativePositionAttention
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class RelativePositionVisionTransformer(VisionTransformer):
    """``mmpretrain.VisionTransformer`` for fine-tuning, with a learned relative position bias in every block.

    The tables are new and start at zero: with them at zero it is the parent's function. All other names are the
    parent's, so that a pre-trained ``backbone.`` loads through ``init_cfg``. The final norm of a checkpoint, ``ln1``,
    becomes the norm after the mean, ``ln2``, where the network has that one alone (``out_type='avg_featmap',
    final_norm=False``).

    Source: fine-tuning in the official code of CAE v2 (arXiv 2211.09799), whose bias is BEiT's (arXiv 2106.08254).
    Images of another size than ``img_size`` get interpolated tables: the project's choice.

    Args:
        fixed_positions: Whether the position embedding stays as it is, as in the official code.
        **kwargs: As ``mmpretrain.VisionTransformer``.

    Raises:
        UserError: An argument that the parent refuses.
    """

    # Names that no pre-training has, for checks of how much of the backbone a checkpoint fills.
    new_parameters = (r'layers\.\d+\.attn\.relative_position_bias_table',)

    def __init__(self, fixed_positions: bool = False, **kwargs: Any) -> None:
        try:
            super().__init__(**kwargs)
        except (AssertionError, TypeError, ValueError) as error:
            raise UserError(f'model.backbone cannot be built: {error}') from error
        for layer in self.layers:
            layer.attn = RelativePositionAttention(layer.attn, tuple(self.patch_resolution), self.cls_token is not None)
        if fixed_positions:
            self.pos_embed.requires_grad_(False)
        if self.frozen_stages > 0:
            self._freeze_stages()  # again, for the tables
        self._register_load_state_dict_pre_hook(self._take_final_norm)

    @property
    def takes_over(self) -> dict[str, str]:
        """Names of a checkpoint that are taken up under another name -> that name."""
        if self.final_norm or self.out_type != 'avg_featmap':
            return {}
        return {f'ln1.{name}': f'ln2.{name}' for name in ('weight', 'bias')}

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Encode images ``(B, C, H, W)`` of any size as the parent does."""
        stride = self.patch_embed.projection.stride
        grid = tuple(-(-side // step) for side, step in zip(x.shape[-2:], stride, strict=True))
        for layer in self.layers:
            layer.attn.tokens_grid = grid
        return super().forward(x)

    def _take_final_norm(self, state: dict[str, Tensor], prefix: str, *args: Any) -> None:
        for theirs, ours in self.takes_over.items():
            if f'{prefix}{theirs}' in state and f'{prefix}{ours}' not in state:
                state[f'{prefix}{ours}'] = state.pop(f'{prefix}{theirs}')
