"""The necks of pre-training: predict target tokens at the asked patches. The contract, and two decoders."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.models.necks import MAEPretrainDecoder
from torch import Tensor, nn

from mmimg2vec.models.utils import TokenMask, check_heads, gather_tokens, sincos_position_embedding
from mmimg2vec.registry import MODELS


class TokenDecoder(BaseModule):
    """Base of what predicts target tokens from the latents of the visible patches.

    Args:
        in_channels: Width of the latents; the algorithm fills it in.
        out_channels: Width of the target tokens; the algorithm fills it in.
        grid: Rows and columns of the token grid; the algorithm fills it in.
        embed_dims: Width inside, divisible by 4 and by ``num_heads``.
        depth: Number of blocks.
        num_heads: Attention heads.
        mlp_ratio: Inner width of the blocks' MLPs over ``embed_dims``.
        init_cfg: As mmengine's.

    Attributes:
        predicts_class: Whether :meth:`predict_class` predicts the target's class token; else the head is given the
            class token of the latents.

    Raises:
        UserError: The width does not divide into the heads.
    """

    predicts_class = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: tuple[int, int],
        embed_dims: int = 512,
        depth: int = 4,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
        init_cfg: dict | list | None = None,
    ) -> None:
        check_heads(embed_dims, num_heads)
        # Not super(): a decoder of another library beside this base has other arguments.
        BaseModule.__init__(self, init_cfg=init_cfg)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.grid = (grid[0], grid[1])
        self.embed_dims = embed_dims
        self.depth = depth
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio

    @abstractmethod
    def forward(self, latents: Tensor, mask: TokenMask, positions: Tensor) -> Tensor:
        """Predict the target features at the given positions.

        Args:
            latents: ``(B, 1 + V, in_channels)``: class token, visible patches in raster order.
            mask: The masks.
            positions: ``(B, P)`` raster indices of the patches to predict.

        Returns:
            ``(B, P, out_channels)``.
        """

    def predict_class(self, latents: Tensor) -> Tensor:
        """Predict the target's class token: ``(B, 1 + V, in_channels)`` -> ``(B, out_channels)``."""
        raise NotImplementedError(f'{type(self).__name__} predicts no class token')


class CrossAttentionBlock(nn.Module):
    """Pre-norm block: ``x + attention(x, memory)``, then ``x + MLP(x)``; queries do not see one another.

    Args:
        dims: Width of queries and memory.
        num_heads: Attention heads.
        mlp_ratio: Inner width of the MLP over ``dims``.
    """

    def __init__(self, dims: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(dims, eps=1e-6)
        self.query = nn.Linear(dims, dims)
        self.key_value = nn.Linear(dims, 2 * dims)
        self.proj = nn.Linear(dims, dims)
        self.norm2 = nn.LayerNorm(dims, eps=1e-6)
        inner = int(mlp_ratio * dims)
        self.mlp = nn.Sequential(nn.Linear(dims, inner), nn.GELU(), nn.Linear(inner, dims))

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """Queries ``(B, P, C)`` read the memory ``(B, N, C)`` -> ``(B, P, C)``."""
        x = x + self._attend(self.norm1(x), memory)
        return x + self.mlp(self.norm2(x))

    def _attend(self, x: Tensor, memory: Tensor) -> Tensor:
        batch, count, dims = x.shape
        # (B, N, C) -> (B, heads, N, C / heads)
        query = self.query(x).view(batch, count, self.num_heads, -1).transpose(1, 2)
        key_value = self.key_value(memory).view(batch, memory.shape[1], 2, self.num_heads, -1)
        key, value = (part.transpose(1, 2) for part in key_value.unbind(dim=2))
        x = F.scaled_dot_product_attention(query, key, value)
        return self.proj(x.transpose(1, 2).reshape(batch, count, dims))


@MODELS.register_module()
class CrossAttentionDecoder(TokenDecoder):
    """Predicts the target features at chosen positions, and computes nothing elsewhere.

    ::

        latents (B, 1 + V, in_channels) -> embed -> + positions -> norm -> memory ─┐
        positions (B, P) -> query_token + position embedding ──> blocks ◄──────────┘ -> norm -> pred (B, P, out)

    The queries do not see one another, so leaving some out changes nothing for the others: a share of the masked
    patches can be predicted instead of all of them (CrossMAE, arXiv 2401.14391). Depth and width are the project's
    choice (Img2Vec's paper gives none).

    Args:
        *args: As :class:`TokenDecoder`.
        **kwargs: Likewise.

    Raises:
        UserError: The width does not divide into the heads.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dims = self.embed_dims
        self.embed = nn.Linear(self.in_channels, dims)
        self.query_token = nn.Parameter(torch.zeros(1, 1, dims))
        self.register_buffer('position_embedding', sincos_position_embedding(self.grid, dims), persistent=False)
        self.memory_norm = nn.LayerNorm(dims, eps=1e-6)
        self.blocks = nn.ModuleList(
            CrossAttentionBlock(dims, self.num_heads, self.mlp_ratio) for _ in range(self.depth)
        )
        self.norm = nn.LayerNorm(dims, eps=1e-6)
        self.pred = nn.Linear(dims, self.out_channels)

    def init_weights(self) -> None:
        """Initialize the query token as MAE's mask token; the rest follows the algorithm's ``init_cfg``."""
        super().init_weights()
        nn.init.normal_(self.query_token, std=0.02)

    def forward(self, latents: Tensor, mask: TokenMask, positions: Tensor) -> Tensor:
        """Predict the target features at the given positions; arguments as :meth:`TokenDecoder.forward`."""
        table = self.position_embedding
        # The class token's position embedding is zero. Added in one piece: slices would be put together in backward.
        where = F.pad(mask.gather_visible(table[:, 1:]), (0, 0, 1, 0))
        memory = self.memory_norm(self.embed(latents) + where)
        x = self.query_token + gather_tokens(table[:, 1:], positions)
        for block in self.blocks:
            x = block(x, memory)
        return self.pred(self.norm(x))


@MODELS.register_module()
class SelfAttentionDecoder(TokenDecoder, MAEPretrainDecoder):
    """``mmpretrain.MAEPretrainDecoder`` behind the project's neck contract.

    Mask tokens fill the masked positions and self-attention runs over all tokens; predictions at the asked
    positions are gathered at the end. Slower than :class:`CrossAttentionDecoder`, and kept to compare with.

    Args:
        *args: As :class:`TokenDecoder`.
        depth: Number of blocks (MAE: 8).
        **kwargs: As :class:`TokenDecoder`.

    Raises:
        UserError: The width does not divide into the heads.
    """

    def __init__(self, *args: Any, depth: int = 8, **kwargs: Any) -> None:
        super().__init__(*args, **{'depth': depth, **kwargs})
        MAEPretrainDecoder.__init__(
            self,
            num_patches=self.grid[0] * self.grid[1],
            embed_dim=self.in_channels,
            decoder_embed_dim=self.embed_dims,
            decoder_depth=depth,
            decoder_num_heads=self.num_heads,
            mlp_ratio=self.mlp_ratio,
            predict_feature_dim=self.out_channels,
            init_cfg=self.init_cfg,
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
