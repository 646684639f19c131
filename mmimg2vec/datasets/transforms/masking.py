"""Which patches of an image are masked, and the sample as the model takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmpretrain.datasets.transforms import PackInputs
from mmpretrain.structures import DataSample

from mmimg2vec.datasets.errors import DataError
from mmimg2vec.registry import TRANSFORMS


def random_token_mask(num_tokens: int, num_masked: int, rng: Any = np.random) -> np.ndarray:
    """Mask ``num_masked`` of ``num_tokens`` tokens, every subset being equally likely (MAE, arXiv 2111.06377, 3).

    Args:
        num_tokens: Number of tokens L.
        num_masked: How many of them to mask, exactly.
        rng: ``numpy.random``, a ``RandomState`` or a ``Generator``.

    Returns:
        bool (L,), True = masked.
    """
    mask = np.zeros(num_tokens, dtype=bool)
    mask[rng.permutation(num_tokens)[:num_masked]] = True
    return mask


@TRANSFORMS.register_module()
class RandomTokenMask(BaseTransform):
    """Adds a uniformly random mask over the patches of the image (MAE, arXiv 2111.06377, section 3).

    Required key: ``img`` (H, W, ...), already at its final size. Added keys:

    - ``mask``: bool (L,), True = masked, patches in raster order; round(L * mask_ratio) of them in every sample.
    - ``token_rank``: int64 (L,), a random permutation of 0 ... L-1, independent of the mask: a priority per token for
      parts of the model that compare a random share of the tokens (the project's choice).

    With ``masks_per_image`` K above 1 both are (K, L): K masked views of one image, which is loaded, augmented,
    embedded and seen by the teacher once (data2vec 2.0, arXiv 2212.07525). They are drawn one after the other, each
    with its ranks: the first is the one that K = 1 draws, and more of them leave those before as they are.

    Args:
        patch_size: Side of a patch in pixels, or (height, width).
        mask_ratio: Share of masked patches, inside (0, 1).
        masks_per_image: Masks that are drawn for an image, K; 1 or more.
        block: Patches along the side of a square that is masked or visible as a whole (Pixio, arXiv 2512.15715, masks
            blocks of 4 x 4); the ratio is that of blocks then. 1 masks patch by patch.

    Raises:
        DataError: The ratio, the number of masks or the block is out of range; or, at the first image, the image is not
            divisible into patches, or these not into blocks, or the ratio leaves no patch visible or none masked.
    """

    def __init__(
        self,
        patch_size: int | tuple[int, int],
        mask_ratio: float = 0.75,
        masks_per_image: int = 1,
        block: int = 1,
    ) -> None:
        if not 0 < mask_ratio < 1:
            raise DataError(
                f'mask_ratio={mask_ratio} is out of range: set it between 0 and 1, both excluded (a count of patches '
                'as a share: 98 / 196)'
            )
        if isinstance(masks_per_image, bool) or not isinstance(masks_per_image, int) or masks_per_image < 1:
            raise DataError(
                f'masks_per_image={masks_per_image!r} of {type(self).__name__}: set it to a whole number, 1 or more'
            )
        if isinstance(block, bool) or not isinstance(block, int) or block < 1:
            raise DataError(f'block={block!r} of {type(self).__name__}: set it to a whole number of patches, 1 or more')
        self.patch_size = (patch_size, patch_size) if isinstance(patch_size, int) else tuple(patch_size)
        self.mask_ratio = mask_ratio
        self.masks_per_image = masks_per_image
        self.block = block

    def transform(self, results: dict) -> dict:
        """Add ``mask`` and ``token_rank`` to the results."""
        height, width = results['img'].shape[:2]
        num_tokens, num_masked = self.count(height, width)
        grid = (height // self.patch_size[0], width // self.patch_size[1])
        # A mask, its ranks, the next mask: so that a mask does not depend on how many follow.
        drawn = [(self.draw(grid, num_masked), np.random.permutation(num_tokens)) for _ in range(self.masks_per_image)]
        masks, ranks = zip(*drawn, strict=True)
        single = self.masks_per_image == 1
        results['mask'] = masks[0] if single else np.stack(masks)
        results['token_rank'] = ranks[0] if single else np.stack(ranks)
        return results

    def draw(self, grid: tuple[int, int], num_masked: int) -> np.ndarray:
        """One mask, bool (L,), over a grid of rows and columns, from ``numpy.random``."""
        rows, columns = grid[0] // self.block, grid[1] // self.block
        blocks = random_token_mask(rows * columns, num_masked // self.block**2).reshape(rows, columns)
        return blocks.repeat(self.block, axis=0).repeat(self.block, axis=1).ravel()

    def count(self, height: int, width: int) -> tuple[int, int]:
        """Numbers of patches and of masked patches for an image of ``height`` x ``width`` pixels.

        Raises:
            DataError: The image is no whole number of patches or of blocks, or all or none would be masked.
        """
        patch_height, patch_width = self.patch_size
        if height % patch_height or width % patch_width:
            raise DataError(
                f'an image of {height} x {width} px is not divisible into patches of {patch_height} x {patch_width} '
                'px: change the crop size of the pipeline or patch_size'
            )
        grid = (height // patch_height, width // patch_width)
        if grid[0] % self.block or grid[1] % self.block:
            raise DataError(
                f'{grid[0]} x {grid[1]} patches are not divisible into blocks of {self.block} x {self.block}: change '
                'block, the crop size of the pipeline or patch_size'
            )
        num_tokens = grid[0] * grid[1]
        num_masked = round(num_tokens // self.block**2 * self.mask_ratio) * self.block**2
        if not 0 < num_masked < num_tokens:
            raise DataError(
                f'mask_ratio={self.mask_ratio} masks {num_masked} of {num_tokens} tokens: at least one must be '
                'masked and one visible, change mask_ratio, the crop size or patch_size'
            )
        return num_tokens, num_masked

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(patch_size={self.patch_size}, mask_ratio={self.mask_ratio}, '
            f'masks_per_image={self.masks_per_image}, block={self.block})'
        )


@TRANSFORMS.register_module()
class PackMaskedInputs(BaseTransform):
    """Packs image and mask so that mmengine's ``default_collate`` stacks both (the project's choice).

    mmpretrain's ``PackInputs`` puts the mask into the data sample, which is not stacked, pinned or moved.

    Required keys: ``img``, ``mask``, ``token_rank``. The result has

    - ``inputs``: (C, H, W), dtype and channel order of the file as loaded (uint8 and BGR by default);
    - ``mask``: bool (L,), True = masked; ``token_rank``: int64 (L,); or (K, L) each, as the mask transform gives them;
    - ``data_samples``: ``mmpretrain.DataSample`` with the label where there is one, and the meta keys.

    Args:
        meta_keys: Keys kept as meta information where a sample has them.
    """

    def __init__(self, meta_keys: Sequence[str] = ('sample_idx', 'img_path')) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Turn the results of the pipeline into the sample described above."""
        data_sample = DataSample()
        if 'gt_label' in results:
            data_sample.set_gt_label(results['gt_label'])
        data_sample.set_metainfo({key: results[key] for key in self.meta_keys if key in results})
        return {
            'inputs': PackInputs.format_input(results['img']),
            'mask': torch.from_numpy(results['mask']),
            'token_rank': torch.from_numpy(np.asarray(results['token_rank'], dtype=np.int64)),
            'data_samples': data_sample,
        }

    def __repr__(self) -> str:
        return f'{type(self).__name__}(meta_keys={self.meta_keys})'
