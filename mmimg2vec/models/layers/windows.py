"""Windows of a token grid, and positions relative to each other in one: pure functions.

A token grid is ``(B, H, W, C)``. A window is ``(rows, columns)`` of tokens; a window as large as the grid is global
attention, and splitting into it costs nothing.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def split_windows(x: Tensor, window: tuple[int, int]) -> Tensor:
    """Cut a grid into windows; zeros fill the last row and column of windows (ViTDet, arXiv 2203.16527).

    Args:
        x: ``(B, H, W, C)``.
        window: Rows and columns of a window.

    Returns:
        ``(B * windows, rows, columns, C)``, the windows of a sample in raster order.
    """
    batch, height, width, channels = x.shape
    rows, columns = window
    x = F.pad(x, (0, 0, 0, -width % columns, 0, -height % rows))
    # (B, H, W, C) -> (B, H / rows, rows, W / columns, columns, C) -> (B * windows, rows, columns, C)
    x = x.reshape(batch, x.shape[1] // rows, rows, x.shape[2] // columns, columns, channels)
    return x.transpose(2, 3).reshape(-1, rows, columns, channels)


def merge_windows(windows: Tensor, grid: tuple[int, int]) -> Tensor:
    """Undo :func:`split_windows`, its padding included.

    Args:
        windows: ``(B * windows, rows, columns, C)``.
        grid: Height and width, in tokens, of the grid that was cut.

    Returns:
        ``(B, H, W, C)``.
    """
    _, rows, columns, channels = windows.shape
    height, width = grid
    down, across = math.ceil(height / rows), math.ceil(width / columns)
    x = windows.reshape(-1, down, across, rows, columns, channels)
    x = x.transpose(2, 3).reshape(-1, down * rows, across * columns, channels)
    return x[:, :height, :width]


def resize_table(table: Tensor, length: int) -> Tensor:
    """Resample a table of relative positions linearly (as MViTv2, arXiv 2112.01526).

    Args:
        table: ``(2 * n - 1, C)``, one row for each of the distances ``-(n - 1) .. n - 1`` along an axis of n tokens.
        length: Rows wanted.

    Returns:
        ``(length, C)``; the table itself where it has that length.
    """
    if len(table) == length:
        return table
    resized = F.interpolate(table.float().t()[None], size=length, mode='linear')
    return resized[0].t().to(table.dtype)


def relative_rows(table: Tensor, size: int) -> Tensor:
    """What a table says of every query and key along an axis.

    Args:
        table: ``(2 * n - 1, C)``, as :func:`resize_table`; resampled where ``size`` is not n.
        size: Tokens along the axis.

    Returns:
        ``(size, size, C)``; entry ``[q, k]`` is the table's row for the distance ``q - k``.
    """
    place = torch.arange(size, device=table.device)
    return resize_table(table, 2 * size - 1)[place[:, None] - place + size - 1]


def relative_position_bias(query: Tensor, window: tuple[int, int], table_h: Tensor, table_w: Tensor) -> Tensor:
    """Decomposed relative position bias of attention (MViTv2, arXiv 2112.01526, equations 4 and 5).

    ``bias[q, k] = query[q] . table_h[row(q) - row(k)] + query[q] . table_w[column(q) - column(k)]``

    Args:
        query: ``(B, heads, rows * columns, C)``, before it is scaled.
        window: Rows and columns that the queries, and the keys, stand in.
        table_h: ``(2 * n - 1, C)``, for distances along rows.
        table_w: ``(2 * m - 1, C)``, for distances along columns.

    Returns:
        ``(B, heads, rows * columns, rows * columns)``, to be added to the scaled scores.
    """
    rows, columns = window
    query = query.unflatten(2, window)
    along_rows = torch.einsum('bnhwc,hkc->bnhwk', query, relative_rows(table_h, rows))
    along_columns = torch.einsum('bnhwc,wkc->bnhwk', query, relative_rows(table_w, columns))
    bias = along_rows[..., :, None] + along_columns[..., None, :]
    return bias.flatten(4).flatten(2, 3)  # (B, heads, rows, columns, rows, columns), two by two
