"""Bookkeeping on masked tokens: pure functions.

Tokens are ``(B, L, C)`` with the patches in raster order. A mask is bool ``(B, L)``, ``True`` = masked, with the
same count ``num_masked`` in every sample; functions take that count as an int, because reading it from a mask on the
GPU would make the host wait for the device.
"""

from __future__ import annotations

import math

import torch
from mmpretrain.models.utils import build_2d_sincos_position_embedding
from torch import Tensor

from mmimg2vec.errors import UserError

SUPERVISIONS = ('masked', 'visible', 'all')


def count_masked(mask: Tensor) -> int:
    """Masked patches per sample, read from the mask (waits for the device when the mask is on one).

    Args:
        mask: ``(B, L)`` bool, ``True`` = masked.

    Raises:
        UserError: It has another form, or the samples hide different counts: masked patches would be taken for visible.
    """
    if not isinstance(mask, Tensor) or mask.ndim != 2 or mask.dtype != torch.bool:
        found = f'{mask.dtype} {tuple(mask.shape)}' if isinstance(mask, Tensor) else type(mask).__name__
        raise UserError(f'the mask of a batch is {found}; it has to be a bool tensor (images, patches)')
    counts = mask.sum(dim=1)
    if counts.min() != counts.max():
        raise UserError(
            f'the masks of a batch hide between {int(counts.min())} and {int(counts.max())} patches; '
            'every image of a batch needs the same count: use a mask transform with a fixed count'
        )
    return int(counts[0])


def check_mask(mask: Tensor, images: int, grid: tuple[int, int]) -> None:
    """Check that there is a mask for each image, over its patches; nothing waits for the device.

    Args:
        mask: ``(B, L)``.
        images: Their number.
        grid: Rows and columns of the token grid.

    Raises:
        UserError: It is another number, or another number of patches.
    """
    if mask.ndim != 2 or len(mask) != images:
        raise UserError(
            f'the mask is {tuple(mask.shape)} for a batch of {images} images: it has to be (images, patches)'
        )
    if mask.shape[1] != grid[0] * grid[1]:
        raise UserError(
            f'the masks have {mask.shape[1]} tokens and the images {grid[0]} x {grid[1]} patches: give the mask '
            "transform the backbone's patch_size"
        )


def split_indices(mask: Tensor, num_masked: int) -> tuple[Tensor, Tensor]:
    """Raster indices of the visible and of the masked patches.

    Args:
        mask: ``(B, L)`` bool, ``True`` = masked.
        num_masked: Masked patches in every sample.

    Returns:
        ``(B, L - num_masked)`` and ``(B, num_masked)`` indices, each in raster order.
    """
    order = mask.int().argsort(dim=1, stable=True)
    return order[:, : mask.shape[1] - num_masked], order[:, mask.shape[1] - num_masked :]


def gather_tokens(tokens: Tensor, index: Tensor) -> Tensor:
    """Tokens at the given indices: ``(B or 1, L, C)`` and ``(B, P)`` -> ``(B, P, C)``."""
    tokens = tokens.expand(index.shape[0], -1, -1)
    return tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def count_compared(num_tokens: int, num_masked: int, supervision: str, share: float) -> int:
    """Number of patches compared per sample; see :func:`compared_positions`."""
    candidates = {
        'masked': num_masked,
        'visible': num_tokens - num_masked,
        'all': num_tokens,
    }[supervision]
    return math.ceil(share * candidates)


def compared_positions(
    mask: Tensor,
    num_masked: int,
    supervision: str = 'masked',
    share: float = 1.0,
    token_rank: Tensor | None = None,
) -> Tensor:
    """Choose the patches at which prediction and target are compared.

    Args:
        mask: ``(B, L)`` bool, ``True`` = masked.
        num_masked: Masked patches in every sample.
        supervision: ``'masked'``, ``'visible'`` or ``'all'`` patches are candidates.
        share: Share of the candidates that is compared, in (0, 1]; a random share of the masked patches can stand
            for all of them (CrossMAE, arXiv 2401.14391).
        token_rank: ``(B, L)`` a random permutation per sample: the candidates of lowest rank are taken. Needed only
            for ``share < 1``.

    Returns:
        ``(B, P)`` raster indices in raster order, ``P = ceil(share * candidates)``.
    """
    num_tokens = mask.shape[1]
    count = count_compared(num_tokens, num_masked, supervision, share)
    excluded = {
        'masked': ~mask,
        'visible': mask,
        'all': torch.zeros_like(mask),
    }[supervision]
    rank = torch.zeros_like(mask, dtype=torch.long) if token_rank is None else token_rank
    order = (rank + num_tokens * excluded).argsort(dim=1, stable=True)
    return order[:, :count].sort(dim=1).values


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
