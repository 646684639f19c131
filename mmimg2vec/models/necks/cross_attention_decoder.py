"""Feature decoder whose queries read the visible latents by cross-attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmimg2vec.models.necks.base import TokenDecoder
from mmimg2vec.models.utils import TokenMask, gather_tokens, sincos_position_embedding
from mmimg2vec.registry import MODELS


class CrossAttentionBlock(nn.Module):
    """Pre-norm block: ``x + attention(x, memory)``, then ``x + MLP(x)``; queries do not see one another.

    Args:
        dims: Width of queries and memory.
        num_heads: Attention heads.
        mlp_ratio: Hidden width of the MLP over ``dims``.
    """

    def __init__(self, dims: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(dims, eps=1e-6)
        self.query = nn.Linear(dims, dims)
        self.key_value = nn.Linear(dims, 2 * dims)
        self.proj = nn.Linear(dims, dims)
        self.norm2 = nn.LayerNorm(dims, eps=1e-6)
        hidden = int(mlp_ratio * dims)
        self.mlp = nn.Sequential(nn.Linear(dims, hidden), nn.GELU(), nn.Linear(hidden, dims))

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """Queries ``(B, P, C)`` read the memory ``(B, N, C)`` -> ``(B, P, C)``."""
        x = x + self._attend(self.norm1(x), memory)
        return x + self.mlp(self.norm2(x))

    def _attend(self, x: Tensor, memory: Tensor) -> Tensor:
        batch, count, dims = x.shape
        # (B, N, C) -> (B, heads, N, C / heads)
        query = self.query(x).view(batch, count, self.num_heads, -1).transpose(1, 2)
        key_value = self.key_value(memory).view(batch, memory.shape[1], 2, self.num_heads, -1)
        key, value = key_value.permute(2, 0, 3, 1, 4)
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
        in_channels: Width of the latents; the algorithm fills it in.
        out_channels: Width of the target tokens; the algorithm fills it in.
        grid: Rows and columns of the token grid; the algorithm fills it in.
        embed_dims: Width inside, divisible by 4 and by ``num_heads``.
        depth: Number of blocks.
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
        depth: int = 4,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, grid, embed_dims, num_heads, init_cfg=init_cfg)
        self.embed = nn.Linear(in_channels, embed_dims)
        self.query_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        self.register_buffer('position_embedding', sincos_position_embedding(self.grid, embed_dims), persistent=False)
        self.memory_norm = nn.LayerNorm(embed_dims, eps=1e-6)
        self.blocks = nn.ModuleList(CrossAttentionBlock(embed_dims, num_heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dims, eps=1e-6)
        self.pred = nn.Linear(embed_dims, out_channels)

    def init_weights(self) -> None:
        """Initialize the query token as MAE's mask token; the rest follows the algorithm's ``init_cfg``."""
        super().init_weights()
        nn.init.normal_(self.query_token, std=0.02)

    def forward(self, latents: Tensor, mask: TokenMask, positions: Tensor) -> Tensor:
        """Predict the target features at the given positions; arguments as :meth:`TokenDecoder.forward`."""
        table = self.position_embedding
        # The class token's position embedding is zero, so only the patches get one.
        memory = self.embed(latents)
        where = mask.gather_visible(table[:, 1:])
        memory = torch.cat((memory[:, :1], memory[:, 1:] + where), dim=1)
        memory = self.memory_norm(memory)
        x = self.query_token + gather_tokens(table[:, 1:], positions)
        for block in self.blocks:
            x = block(x, memory)
        return self.pred(self.norm(x))
