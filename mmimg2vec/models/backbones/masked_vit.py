"""Vision transformer that reads the visible patches of a masked image only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor, nn

from mmimg2vec.checkpoint.fill import fill
from mmimg2vec.errors import UserError
from mmimg2vec.models.layers.query_value_bias import QueryValueBiasLinear
from mmimg2vec.models.layers.self_attention import SplitAttention
from mmimg2vec.models.utils import TokenMask, sincos_position_embedding
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class MaskedVisionTransformer(VisionTransformer):
    """``mmpretrain.VisionTransformer`` with a masked path for pre-training.

    Parameter names are the parent's, so a pre-trained ``backbone.`` loads into a plain
    ``mmpretrain.VisionTransformer``. Masked patches are dropped before the first block (MAE, arXiv 2111.06377,
    section 3), so masked pixels cannot influence what comes out.

    Args:
        pos_embed: ``'sincos'``: fixed 2-D sine-cosine, as MAE; ``'learned'``: trained, as the parent's; needed when
            training goes on from weights that have learned ones (DINOv2).
        out_type: As the parent's; all tokens by default.
        key_bias: Whether keys have a bias, as queries and values do. Without one (CAE v2) the keys' third of each
            ``qkv.bias`` is zero and is not trained; the state stays the parent's.
        **kwargs: As ``mmpretrain.VisionTransformer``: ``arch``, ``img_size`` (an int or (height, width)),
            ``patch_size``, ``in_channels``, ``drop_path_rate``, ``layer_scale_init_value``, ``init_cfg``, ...

    Raises:
        UserError: An argument that the parent refuses; the image does not divide into patches; a checkpoint of
            ``init_cfg`` does not fill the network.
    """

    def __init__(
        self,
        pos_embed: Literal['sincos', 'learned'] = 'sincos',
        out_type: str = 'raw',
        key_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        try:
            super().__init__(out_type=out_type, **kwargs)
        except (AssertionError, TypeError, ValueError) as error:
            raise UserError(f'model.backbone cannot be built: {error}') from error
        if pos_embed not in ('sincos', 'learned'):
            raise UserError(f"pos_embed={pos_embed!r} of the backbone: choose 'sincos' or 'learned'")
        patch = self.patch_embed.projection.kernel_size
        if any(side % size for side, size in zip(self.img_size, patch, strict=True)):
            raise UserError(
                f'img_size={tuple(self.img_size)} of the backbone does not divide into patches of {patch[0]} x '
                f'{patch[1]} pixels; choose a multiple'
            )
        SplitAttention.take_over(self.layers)
        if not key_bias:
            self._take_key_bias()
        self.fixed_positions = pos_embed == 'sincos'
        self.pos_embed.requires_grad_(not self.fixed_positions)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the token grid at ``img_size``."""
        return tuple(self.patch_resolution)

    @property
    def starts_from_file(self) -> bool:
        """Whether ``init_cfg`` fills the network from a checkpoint."""
        return isinstance(self.init_cfg, dict) and self.init_cfg['type'] == 'Pretrained'

    def init_weights(self) -> None:
        """Initialize as MAE does, or fill all of the network from ``init_cfg=dict(type='Pretrained', ...)``."""
        if self.starts_from_file:
            # Not mmengine's loader: it accepts a checkpoint that leaves layers unfilled.
            fill(self, self.init_cfg['checkpoint'], prefix=self.init_cfg.get('prefix'))
            self._is_init = True
            return
        super().init_weights()
        if self.fixed_positions:
            table = sincos_position_embedding(self.grid, self.embed_dims, self.with_cls_token)
            self.pos_embed.data.copy_(table)
        projection = self.patch_embed.projection.weight.data
        nn.init.xavier_uniform_(projection.view(projection.shape[0], -1))
        if self.cls_token is not None:
            nn.init.normal_(self.cls_token, std=0.02)

    def forward(
        self,
        x: Tensor,
        mask: TokenMask | None = None,
        blocks: Sequence[int] | None = None,
    ) -> tuple[Tensor, ...]:
        """Encode whole images, or the visible patches of masked ones.

        Args:
            x: Images ``(N, C, H, W)``.
            mask: Masks over the patches of ``x``, B of them: one or several per image; None is the parent's forward.
            blocks: Blocks (from 0) whose tokens are returned in the masked path; None is the last one.

        Returns:
            Without a mask what the parent returns. With one, for each of ``blocks`` the class token and the
            visible patches in raster order ``(B, 1 + V, C)``, *before* the final norm.
        """
        if mask is None:
            return super().forward(x)
        blocks = (self.num_layers - 1,) if blocks is None else tuple(blocks)
        x = self._embed_visible(x, mask)
        outputs = {}
        for index, layer in enumerate(self.layers[: max(blocks) + 1]):
            x = layer(x)
            outputs[index] = x
        return tuple(outputs[index] for index in blocks)

    def _take_key_bias(self) -> None:
        for layer in self.layers:
            if layer.attn.qkv.bias is None:
                raise UserError('key_bias=False of the backbone goes with qkv_bias=True: queries and values have one')
            layer.attn.qkv = QueryValueBiasLinear(self.embed_dims)

    def _embed_visible(self, x: Tensor, mask: TokenMask) -> Tensor:
        x, grid = self.patch_embed(x)
        positions = self.resize_pos_embed(
            self.pos_embed,
            self.patch_resolution,
            grid,
            mode=self.interpolate_mode,
            num_extra_tokens=self.num_extra_tokens,
        )
        x = mask.gather_visible(x + positions[:, self.num_extra_tokens :])
        if self.cls_token is not None:
            class_token = (self.cls_token + positions[:, :1]).expand(len(x), -1, -1)
            x = torch.cat((class_token, x), dim=1)
        return self.pre_norm(self.drop_after_pos(x))
