"""Cross-attention as CAE and CAE v2 have it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-6  # of every LayerNorm


class CrossAttention(nn.Module):
    """Queries read tokens. Queries, keys and values have a LayerNorm each; keys have no bias.

    Source: the official code of CAE and CAE v2 (arXiv 2202.03026, 2211.09799).

    Args:
        dims: Width of all tokens, divisible by ``num_heads``.
        num_heads: Attention heads.
    """

    def __init__(self, dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_query = nn.LayerNorm(dims, eps=EPS)
        self.norm_key = nn.LayerNorm(dims, eps=EPS)
        self.norm_value = nn.LayerNorm(dims, eps=EPS)
        self.query = nn.Linear(dims, dims)
        self.key = nn.Linear(dims, dims, bias=False)
        self.value = nn.Linear(dims, dims)
        self.proj = nn.Linear(dims, dims)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Queries ``(B, Q, C)`` read values ``(B, N, C)`` by their keys ``(B, N, C)`` -> ``(B, Q, C)``."""
        query = self.query(self.norm_query(query))
        key = self.key(self.norm_key(key))
        value = self.value(self.norm_value(value))
        # (B, N, C) -> (B, heads, N, C / heads)
        heads = [x.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for x in (query, key, value)]
        return self.proj(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))
