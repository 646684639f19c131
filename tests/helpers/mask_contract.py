"""What every mask transform has to fulfil; a new one adds a class with its factory only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmimg2vec.datasets import DataError
from mmimg2vec.datasets.seeded import seeded
from mmimg2vec.datasets.transforms import RandomTokenMask


class MaskTransformContract:
    """The same count in every sample, everywhere now and then, beside ranks that do not depend on the mask."""

    size = (48, 80)
    patch = 8
    ratio = 0.5

    def build(self, mask_ratio: float | None = None, **kwargs: Any) -> RandomTokenMask:
        raise NotImplementedError('a test class names its part here')

    def draws(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Masks and ranks of ``count`` images."""
        transform, image = self.build(), np.zeros((*self.size, 3), np.uint8)
        with seeded(5):
            results = [transform.transform(dict(img=image)) for _ in range(count)]
        return np.stack([r['mask'] for r in results]), np.stack([r['token_rank'] for r in results])

    def test_every_sample_masks_the_same_count(self):
        masks, ranks = self.draws(50)
        tokens = (self.size[0] // self.patch) * (self.size[1] // self.patch)
        assert masks.shape == ranks.shape == (50, tokens) and masks.dtype == bool and ranks.dtype == np.int64
        assert (masks.sum(axis=1) == round(tokens * self.ratio)).all()
        assert (np.sort(ranks, axis=1) == np.arange(tokens)).all()

    def test_every_patch_is_masked_now_and_then_and_visible_now_and_then(self):
        share = self.draws(400)[0].mean(axis=0)
        assert share.min() > 0.05 and share.max() < 0.95
        assert share.mean() == pytest.approx(self.ratio, abs=0.01)

    def test_ranks_do_not_depend_on_the_mask(self):
        masks, ranks = self.draws(600)
        middle = (masks.shape[1] - 1) / 2
        assert abs(ranks[masks].mean() - middle) < 0.03 * masks.shape[1]
        assert np.abs(ranks.mean(axis=0) - middle).max() < 0.06 * masks.shape[1]

    def test_masks_follow_the_seed_and_leave_the_rest(self):
        transform = self.build()
        image = np.random.RandomState(0).randint(0, 256, (*self.size, 3), np.uint8)
        results = []
        for seed in (1, 1, 2):
            with seeded(seed):
                results.append(transform.transform(dict(img=image.copy(), img_path='a.jpg')))
        masks = [result['mask'] for result in results]
        assert np.array_equal(masks[0], masks[1]) and not np.array_equal(masks[0], masks[2])
        assert np.array_equal(results[0]['img'], image) and results[0]['img_path'] == 'a.jpg'

    def test_a_mask_of_several_does_not_depend_on_how_many_follow(self):
        results = {}
        for count in (1, 2, 4):
            with seeded(5):
                image = np.zeros((*self.size, 3), np.uint8)
                results[count] = self.build(masks_per_image=count).transform(dict(img=image))
        for key in ('mask', 'token_rank'):
            one, two, four = (results[count][key] for count in (1, 2, 4))
            assert four.shape == (4, *one.shape) and four.dtype == one.dtype
            assert np.array_equal(four[0], one) and np.array_equal(four[:2], two)
            assert len(np.unique(four, axis=0)) == 4
        assert (results[4]['mask'].sum(axis=1) == results[1]['mask'].sum()).all()

    @pytest.mark.parametrize('count', [0, -1, 1.5, '4', True, None])
    def test_numbers_of_masks_that_are_none_are_named(self, count):
        with pytest.raises(DataError, match=rf'masks_per_image={count!r} of \w+TokenMask: set it to a whole number'):
            self.build(masks_per_image=count)

    @pytest.mark.parametrize('ratio', [0, 1, -0.1, 1.5, 75])
    def test_ratios_out_of_range_are_named(self, ratio):
        with pytest.raises(DataError, match='out of range'):
            self.build(mask_ratio=ratio)

    def test_images_that_are_no_whole_number_of_patches_are_named(self):
        image = np.zeros((self.size[0] - 1, self.size[1], 3), np.uint8)
        with pytest.raises(DataError, match='is not divisible into patches'):
            self.build().transform(dict(img=image))
