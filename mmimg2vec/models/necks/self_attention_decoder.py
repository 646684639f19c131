"""The plain decoder of MAE, predicting features: the reference for the cross-attention decoder."""

from __future__ import annotations

import torch
from mmpretrain.models.necks import MAEPretrainDecoder
from torch import Tensor

from mmimg2vec.models.necks.base import TokenDecoder
from mmimg2vec.models.utils import TokenMask, gather_tokens, sincos_position_embedding
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class SelfAttentionDecoder(TokenDecoder, MAEPretrainDecoder):
    """``mmpretrain.MAEPretrainDecoder`` behind the project's neck contract.

    Mask tokens fill the masked positions and self-attention runs over all tokens; predictions at the asked
    positions are gathered at the end. Slower than :class:`CrossAttentionDecoder`, and kept to compare with.

    Args:
        in_channels: Width of the latents; the algorithm fills it in.
        out_channels: Width of the target tokens; the algorithm fills it in.
        grid: Rows and columns of the token grid; the algorithm fills it in.
        embed_dims: Width inside, divisible by 4 and by ``num_heads``.
        depth: Number of blocks (MAE: 8).
        num_heads: Attention heads.
        mlp_ratio: Hidden width of the MLPs over ``embed_dims``.

    Raises:
        UserError: The width does not divide into the heads.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: tuple[int, int],
        embed_dims: int = 512,
        depth: int = 8,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            grid,
            embed_dims,
            num_heads,
            num_patches=grid[0] * grid[1],
            embed_dim=in_channels,
            decoder_embed_dim=embed_dims,
            decoder_depth=depth,
            decoder_num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            predict_feature_dim=out_channels,
            init_cfg=init_cfg,
        )

    def init_weights(self) -> None:
        """Initialize as MAE, with a position table that also fits grids that are not square."""
        # Not the parent's own: it derives a square grid from the number of patches.
        super(MAEPretrainDecoder, self).init_weights()
        torch.nn.init.normal_(self.mask_token, std=0.02)
        dims = self.decoder_pos_embed.shape[-1]
        self.decoder_pos_embed.data.copy_(sincos_position_embedding(self.grid, dims))

    def forward(self, latents: Tensor, mask: TokenMask, positions: Tensor) -> Tensor:
        """Predict the target features at the given positions; arguments as :meth:`TokenDecoder.forward`."""
        return gather_tokens(MAEPretrainDecoder.forward(self, latents, mask.restore), positions)
