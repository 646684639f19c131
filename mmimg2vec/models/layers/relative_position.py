"""Attention with a table of biases for relative positions, the class token among them (BEiT, arXiv 2106.08254)."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor, nn

# Rows behind those of the distances: from the class token to a patch, from a patch to it, and to itself.
_CLASS_ROWS = 3


class RelativePositionAttention(BaseModule):
    """mmpretrain's self-attention plus a learned bias for each head and each distance between two tokens.

    ``score[q, k] = query[q] . key[k] / sqrt(d) + table[row(q) - row(k), column(q) - column(k)]``

    The table starts at zero, so that training starts from the pre-trained function.

    Args:
        attention: mmpretrain's attention, whose layers and options are taken over under the same names.
        grid: Rows and columns of patches that the table is made for.
        class_token: Whether a class token stands before the patches.

    Attributes:
        relative_position_bias_table: ``((2 * rows - 1) * (2 * columns - 1) [+ 3], heads)``.
        tokens_grid: Rows and columns of the patches of the next images; the backbone says so.
    """

    def __init__(self, attention: MultiheadAttention, grid: tuple[int, int], class_token: bool) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.attn_drop = attention.attn_drop
        self.qkv = attention.qkv
        self.proj = attention.proj
        self.proj_drop = attention.proj_drop
        self.gamma1 = attention.gamma1
        self.out_drop = attention.out_drop
        self.grid = grid
        self.tokens_grid = grid
        self.class_token = class_token
        rows = (2 * grid[0] - 1) * (2 * grid[1] - 1) + _CLASS_ROWS * class_token
        self.relative_position_bias_table = nn.Parameter(torch.zeros(rows, self.num_heads))

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ``(B, [1 +] L, C)`` to tokens of the same shape."""
        # (B, N, C) -> 3 x (B, heads, N, C / heads)
        query, key, value = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        bias = position_bias(self.relative_position_bias_table, self.grid, self.tokens_grid, self.class_token)
        bias = bias.to(query.dtype).unsqueeze(0)
        x = F.scaled_dot_product_attention(query, key, value, bias, dropout_p=self.attn_drop if self.training else 0.0)
        x = x.transpose(1, 2).flatten(2)
        return self.out_drop(self.gamma1(self.proj_drop(self.proj(x))))


def position_bias(table: Tensor, made_for: tuple[int, int], grid: tuple[int, int], class_token: bool) -> Tensor:
    """Bias of every query and key.

    Args:
        table: One row for each distance on the grid ``made_for``, rows first, and three for the class token.
        made_for: Rows and columns of patches.
        grid: Of the images; on another grid the table is interpolated (bicubic, the project's choice).
        class_token: Whether there is one.

    Returns:
        ``(heads, N, N)`` with N tokens, the class token first.
    """
    if grid != made_for:
        table = _resized(table, made_for, grid)
    index = _rows_of_pairs(grid, class_token, table.device)
    return table[index.flatten()].unflatten(0, tuple(index.shape)).permute(2, 0, 1)


def _resized(table: Tensor, made_for: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    old, new = (tuple(2 * side - 1 for side in sides) for sides in (made_for, grid))
    distances, class_rows = table.split([old[0] * old[1], len(table) - old[0] * old[1]])
    image = distances.t().unflatten(1, old)[None].float()
    image = F.interpolate(image, new, mode='bicubic', align_corners=False)[0]
    return torch.cat((image.flatten(1).t().to(table.dtype), class_rows))


@lru_cache(maxsize=8)
def _rows_of_pairs(grid: tuple[int, int], class_token: bool, device: torch.device) -> Tensor:
    """Row of the table for every pair of tokens, ``(N, N)``."""
    rows, columns = grid
    place = torch.cartesian_prod(torch.arange(rows, device=device), torch.arange(columns, device=device))
    distance = place[:, None] - place + torch.tensor([rows - 1, columns - 1], device=device)
    index = distance[..., 0] * (2 * columns - 1) + distance[..., 1]
    if not class_token:
        return index
    first = (2 * rows - 1) * (2 * columns - 1)
    index = F.pad(index, (1, 0, 1, 0), value=first + 1)  # from a patch to the class token
    index[0] = first
    index[0, 0] = first + 2
    return index
