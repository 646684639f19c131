"""Positions and widths of tokens ``(B, L, C)``, the patches in raster order."""

from __future__ import annotations

from mmpretrain.models.utils import build_2d_sincos_position_embedding
from torch import Tensor

from mmimg2vec.errors import UserError


def sincos_position_embedding(grid: tuple[int, int], dims: int, class_token: bool = True) -> Tensor:
    """Fixed 2-D sine-cosine position embedding in raster order, the class token's (zeros) first.

    Args:
        grid: Rows and columns of the token grid.
        dims: Width, divisible by 4.
        class_token: Whether the class token's position stands first.

    Returns:
        ``(1, [1 +] rows * columns, dims)`` float32; for square grids the table of MAE.
    """
    rows, columns = grid
    # mmpretrain's function runs through its grid column by column: with the sides swapped that is raster order.
    return build_2d_sincos_position_embedding((columns, rows), dims, cls_token=class_token)


def check_heads(dims: int, num_heads: int) -> None:
    """Check that a decoder's width fits its heads and its position embedding.

    Raises:
        UserError: It does not.
    """
    if dims % num_heads or dims % 4:
        raise UserError(f'neck: embed_dims={dims} has to be divisible by 4 and by num_heads={num_heads}')


def map_to_tokens(feature_map: Tensor) -> Tensor:
    """Feature map to tokens in raster order: ``(B, C, H, W)`` -> ``(B, H * W, C)``."""
    return feature_map.flatten(2).transpose(1, 2)
