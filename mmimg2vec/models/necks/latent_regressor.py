"""CAE v2's latent regressor: the tokens of masked patches, regressed from those of the visible ones."""

from __future__ import annotations

from typing import Any

import torch
from mmcv.cnn.bricks import DropPath
from mmpretrain.models.utils import LayerScale
from torch import Tensor, nn

from mmimg2vec.models.layers.cross_attention import EPS, CrossAttention
from mmimg2vec.models.necks.decoders import TokenDecoder
from mmimg2vec.models.utils import TokenMask, gather_tokens, sincos_position_embedding
from mmimg2vec.registry import MODELS


def draw_embedding(tensor: Tensor) -> None:
    """Draw from a normal distribution of deviation 0.02 cut at one deviation, in place, as CAE v2's official code does.

    The deviation of what is drawn is 0.0108.
    """
    nn.init.trunc_normal_(tensor, std=0.02, a=-0.02, b=0.02)


class RegressorBlock(CrossAttention):
    """Cross-attention and MLP on the masked tokens, as CAE v2's official code has them.

    The residual around the MLP starts from the *normalized* tokens, and the masked tokens are among the keys and
    values.

    Args:
        dims: Width of the tokens.
        num_heads: Attention heads.
        mlp_ratio: Inner width of the MLP over ``dims``.
        drop_path_rate: Share of samples whose branches are dropped in training.
        layer_scale_init_value: First value of the two branches' weights; 0 leaves them at one, untrained.
    """

    def __init__(
        self,
        dims: int,
        num_heads: int,
        mlp_ratio: float,
        drop_path_rate: float,
        layer_scale_init_value: float,
    ) -> None:
        super().__init__(dims, num_heads)
        self.gamma1 = LayerScale(dims, layer_scale_init_value or 1.0)
        self.norm_mlp = nn.LayerNorm(dims, eps=EPS)
        inner = int(mlp_ratio * dims)
        self.mlp = nn.Sequential(nn.Linear(dims, inner), nn.GELU(), nn.Linear(inner, dims))
        self.gamma2 = LayerScale(dims, layer_scale_init_value or 1.0)
        self.drop_path = DropPath(drop_path_rate)
        if not layer_scale_init_value:
            self.gamma1.requires_grad_(False)
            self.gamma2.requires_grad_(False)

    def forward(self, x: Tensor, visible: Tensor, place: Tensor, context_place: Tensor) -> Tensor:
        """Update the masked tokens.

        Args:
            x: Masked tokens ``(B, M, C)``.
            visible: Visible tokens ``(B, V, C)``.
            place: Position embeddings of the masked tokens ``(B, M, C)``.
            context_place: Those of visible and masked tokens ``(B, V + M, C)``.

        Returns:
            ``(B, M, C)``.
        """
        context = torch.cat((visible, x), dim=1)
        read = self.attend(x + place, context + context_place, context)
        x = x + self.drop_path(self.gamma1(read))
        x = self.norm_mlp(x)
        return x + self.drop_path(self.gamma2(self.mlp(x)))


@MODELS.register_module()
class LatentRegressor(TokenDecoder):
    """Predicts target features of masked patches, of visible ones and of the class token (CAE v2, arXiv 2211.09799).

    ::

        latents (B, 1 + V, in_channels) -> embed ─┬─ class token ───────────────────────────────┐
                                                  ├─ visible (B, V, C) ──────────────┬──────────┤
        mask_token (B, M, C) ─────────────────────┴─► blocks (+ positions) ─► masked ┴─ norm ─► pred

    One LayerNorm and one linear layer serve all three. The visible tokens are never changed by the blocks, and the
    class token takes no part in them. Exactly the official code; positions are fixed 2-D sine-cosine.

    Args:
        *args: As :class:`TokenDecoder`.
        embed_dims: Width inside, divisible by 4 and by ``num_heads``; one other than ``in_channels`` puts a Linear and
            a LayerNorm before.
        num_heads: Attention heads.
        drop_path_rate: Drop-path rate of the last block; it grows linearly from 0.
        layer_scale_init_value: First value of the branches' weights; 0 leaves them at one, untrained.
        **kwargs: As :class:`TokenDecoder`.

    Raises:
        UserError: The width does not divide into the heads.
    """

    predicts_class = True

    def __init__(
        self,
        *args: Any,
        embed_dims: int = 768,
        num_heads: int = 12,
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **{'embed_dims': embed_dims, 'num_heads': num_heads, **kwargs})
        self.regresses = True
        if embed_dims == self.in_channels:
            self.embed: nn.Module = nn.Identity()
        else:
            norm = nn.LayerNorm(embed_dims, eps=EPS)
            self.embed = nn.Sequential(nn.Linear(self.in_channels, embed_dims), norm)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        table = sincos_position_embedding(self.grid, embed_dims, class_token=False)
        self.register_buffer('position_embedding', table, persistent=False)
        self.blocks = nn.ModuleList(
            RegressorBlock(
                embed_dims,
                num_heads,
                self.mlp_ratio,
                drop_path_rate * index / max(self.depth - 1, 1),
                layer_scale_init_value,
            )
            for index in range(self.depth)
        )
        self.norm = nn.LayerNorm(embed_dims, eps=EPS)
        self.pred = nn.Linear(embed_dims, self.out_channels)

    def init_weights(self) -> None:
        """Initialize the mask token; the rest follows the algorithm's ``init_cfg``."""
        super().init_weights()
        draw_embedding(self.mask_token)

    def predict_visible_only(self) -> None:
        """Neither run nor train what regresses masked tokens, for a loss on visible tokens alone.

        Parameters that never get a gradient would make DDP wait for it.
        """
        self.regresses = False
        self.mask_token.requires_grad_(False)
        self.blocks.requires_grad_(False)

    def forward(self, latents: Tensor, mask: TokenMask, positions: Tensor) -> Tensor:
        """Predict the target features at the given positions; arguments as :meth:`TokenDecoder.forward`.

        After :meth:`predict_visible_only` the positions are those of visible patches.
        """
        tokens = self.embed(latents[:, 1:])
        if self.regresses:
            tokens = torch.cat((tokens, self._regress(tokens, mask)), dim=1)
        where = mask.restore.gather(1, positions)
        return self.pred(self.norm(gather_tokens(tokens, where)))

    def predict_class(self, latents: Tensor) -> Tensor:
        """Predict the target's class token: ``(B, 1 + V, in_channels)`` -> ``(B, out_channels)``."""
        return self.pred(self.norm(self.embed(latents[:, 0])))

    def _regress(self, visible: Tensor, mask: TokenMask) -> Tensor:
        context_place = gather_tokens(self.position_embedding, mask.order)
        place = context_place[:, mask.num_visible :]
        x = self.mask_token.expand(len(mask), mask.num_masked, -1)
        for block in self.blocks:
            x = block(x, visible, place, context_place)
        return x
