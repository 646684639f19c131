"""Block-wise masks with an exact count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmimg2vec.datasets.errors import DataError
from mmimg2vec.datasets.transforms.masking import RandomTokenMask
from mmimg2vec.registry import TRANSFORMS

# Draws of a block in a row without a new masked patch; a mask that can be completed takes some tens.
_ATTEMPTS = 10_000


def draw_block(
    grid: tuple[int, int], area: tuple[float, float], aspect: tuple[float, float], rng: Any
) -> tuple[int, int, int, int] | None:
    """Draw a rectangle of patches: area uniform, aspect ratio uniform in its logarithm, place uniform.

    Sides are rounded to whole patches, so that area and aspect may end a little outside of their limits, as in the
    official code.

    Args:
        grid: Rows and columns of the token grid.
        area: Two numbers of patches between which the area is drawn.
        aspect: Smallest and largest ratio of height to width.
        rng: ``numpy.random``, a ``RandomState`` or a ``Generator``.

    Returns:
        Top, left, height and width in patches; None where a side is not below the grid's.
    """
    wanted = rng.uniform(min(area), max(area))
    ratio = math.exp(rng.uniform(math.log(aspect[0]), math.log(aspect[1])))
    height, width = round(math.sqrt(wanted * ratio)), round(math.sqrt(wanted / ratio))
    top, left = (rng.uniform(0, 1) for _ in range(2))
    if not (0 < height < grid[0] and 0 < width < grid[1]):
        return None
    return int(top * (grid[0] - height + 1)), int(left * (grid[1] - width + 1)), height, width


def block_token_mask(
    grid: tuple[int, int],
    num_masked: int,
    min_block: int = 16,
    aspect: tuple[float, float] = (0.3, 1 / 0.3),
    rng: Any = np.random,
) -> np.ndarray:
    """Mask exactly ``num_masked`` patches, block by block (BEiT, arXiv 2106.08254, algorithm 1; CAE v2).

    A block's area is drawn between ``min_block`` and the number of patches that are missing. Where fewer are missing
    than ``min_block``, it is drawn between the two as well, and the block has to overlap what is masked already: none
    masks more than is missing. Blocks are drawn until the count is exact; no patch is ever drawn singly. (BEiT's own
    masks end where ten draws in a row do not fit, with a count of their own.)

    Args:
        grid: Rows and columns of the token grid.
        num_masked: How many patches to mask.
        min_block: Patches in the smallest block.
        aspect: Smallest and largest ratio of a block's height to its width.
        rng: ``numpy.random``, a ``RandomState`` or a ``Generator``.

    Returns:
        bool (L,), True = masked, in raster order.

    Raises:
        DataError: Blocks with such sides cannot make this count.
    """
    mask = np.zeros(grid, dtype=bool)
    failed = 0
    while missing := num_masked - int(mask.sum()):
        failed += 1
        if failed > _ATTEMPTS:
            raise DataError(
                f'BlockTokenMask: blocks of {min_block} patches or more, height / width {aspect[0]:.3g} to '
                f'{aspect[1]:.3g}, do not make {num_masked} of the {grid[0]} x {grid[1]} patches: lower min_block, '
                'widen aspect or change mask_ratio'
            )
        block = draw_block(grid, (min_block, missing), aspect, rng)
        if block is None:
            continue
        top, left, height, width = block
        view = mask[top : top + height, left : left + width]
        if 0 < view.size - int(view.sum()) <= missing:
            view[:] = True
            failed = 0
    return mask.ravel()


@TRANSFORMS.register_module()
class BlockTokenMask(RandomTokenMask):
    """Adds a block-wise mask over the patches of the image, with the same count in every sample.

    Keys as :class:`RandomTokenMask`. Source: CAE v2's official code (blocks of at least 16 patches, aspect 0.3 to 1 /
    0.3; see :func:`block_token_mask`).

    Args:
        patch_size: Side of a patch in pixels, or (height, width).
        mask_ratio: Share of masked patches, inside (0, 1); round(L * mask_ratio) are masked. ``98 / 196`` for ViT-B.
        min_block: Patches in the smallest block.
        aspect: Smallest and largest ratio of a block's height to its width.
        masks_per_image: Masks that are drawn for an image, 1 or more.

    Raises:
        DataError: An option is out of range; or, at the first image, as :class:`RandomTokenMask`, or fewer patches are
            masked than the smallest block has, or blocks cannot make the count.
    """

    def __init__(
        self,
        patch_size: int | tuple[int, int],
        mask_ratio: float = 0.5,
        min_block: int = 16,
        aspect: tuple[float, float] = (0.3, 1 / 0.3),
        masks_per_image: int = 1,
    ) -> None:
        super().__init__(patch_size, mask_ratio, masks_per_image)
        if min_block < 1:
            raise DataError(f'min_block={min_block} of BlockTokenMask has to be 1 or more (16 in CAE v2)')
        pair = isinstance(aspect, Sequence) and len(aspect) == 2
        if not pair or not 0 < aspect[0] <= aspect[1]:
            raise DataError(
                f'aspect={aspect} of BlockTokenMask: name the smallest and the largest height / width, such as '
                '(0.3, 3.3)'
            )
        self.min_block = min_block
        self.aspect = (aspect[0], aspect[1])

    def draw(self, grid: tuple[int, int], num_masked: int) -> np.ndarray:
        """One mask, bool (L,); see :func:`block_token_mask`."""
        return block_token_mask(grid, num_masked, self.min_block, self.aspect)

    def count(self, height: int, width: int) -> tuple[int, int]:
        """Numbers of patches and of masked patches; as :meth:`RandomTokenMask.count`.

        Raises:
            DataError: Fewer patches are masked than the smallest block has.
        """
        num_tokens, num_masked = super().count(height, width)
        if num_masked < self.min_block:
            raise DataError(
                f'mask_ratio={self.mask_ratio} masks {num_masked} of {num_tokens} tokens, fewer than the smallest '
                f'block has, {self.min_block}: lower min_block or raise mask_ratio'
            )
        return num_tokens, num_masked

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(patch_size={self.patch_size}, mask_ratio={self.mask_ratio}, '
            f'min_block={self.min_block}, aspect={self.aspect}, masks_per_image={self.masks_per_image})'
        )
