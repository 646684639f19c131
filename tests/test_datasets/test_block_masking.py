import numpy as np
import pytest
from mask_contract import MaskTransformContract
from scipy import ndimage

from mmimg2vec.datasets import BlockTokenMask, DataError, DrawKey, SeededDataset
from mmimg2vec.datasets.transforms.block_masking import block_token_mask, draw_block
from mmimg2vec.registry import DATASETS

GRID = (14, 14)


class TestBlockTokenMask(MaskTransformContract):
    def build(self, mask_ratio=None, **kwargs):
        return BlockTokenMask(self.patch, self.ratio if mask_ratio is None else mask_ratio, min_block=4, **kwargs)


@pytest.mark.parametrize('masked', [30, 49, 98, 16, 170])
def test_exact_count(masked):
    rng = np.random.default_rng(masked)
    for _ in range(100):
        mask = block_token_mask(GRID, masked, rng=rng)
        assert mask.dtype == bool and mask.shape == (196,) and mask.sum() == masked


def test_blocks_are_within_the_limits_and_the_grid():
    rng = np.random.default_rng(0)
    aspect = (0.3, 1 / 0.3)
    blocks = [draw_block(GRID, (16, 98), aspect, rng) for _ in range(3000)]
    blocks = np.array([block for block in blocks if block is not None])
    top, left, height, width = blocks.T
    assert len(blocks) > 1000
    # Sides are rounded: up to half a patch from the limits.
    assert ((height + 0.5) * (width + 0.5) >= 16).all() and ((height - 0.5) * (width - 0.5) <= 98).all()
    assert ((height + 0.5) / (width - 0.5) >= aspect[0]).all() and ((height - 0.5) / (width + 0.5) <= aspect[1]).all()
    assert (height / width).min() < 0.5 and (height / width).max() > 2
    assert top.min() == left.min() == 0
    assert height.max() == width.max() == 13  # below the grid's
    assert (top + height).max() == (left + width).max() == 14


@pytest.mark.parametrize(
    ('num_masked', 'isolated', 'pieces'), [(30, 0.119, 1.577), (49, 0.168, 1.639), (98, 0.058, 1.322)]
)
def test_masks_are_as_compact_as_those_of_the_official_code(num_masked, isolated, pieces):
    """Masked patches without a masked neighbor, and connected pieces: neighbors are up, down, left and right.

    The numbers are means over 20 000 masks of the official generator.
    """
    rng = np.random.default_rng(1)
    counts = []
    for _ in range(4000):
        mask = block_token_mask(GRID, num_masked, rng=rng).reshape(GRID)
        padded = np.pad(mask, 1).astype(int)
        neighbors = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
        counts.append(((mask & (neighbors == 0)).sum(), ndimage.label(mask)[1]))
    assert np.mean(counts, axis=0) == pytest.approx([isolated, pieces], rel=0.1, abs=0.005)


def test_a_count_that_blocks_cannot_make_is_named():
    with pytest.raises(DataError, match='do not make 190 of the 14 x 14 patches: lower min_block'):
        block_token_mask(GRID, 190, min_block=190, aspect=(1, 1), rng=np.random.default_rng(0))


def test_areas_of_blocks_are_spread_evenly_up_to_the_largest():
    rng = np.random.default_rng(0)
    blocks = [draw_block(GRID, (16, 98), (0.9, 1.1), rng) for _ in range(4000)]
    areas = np.array([block[2] * block[3] for block in blocks if block is not None])
    assert areas.max() == 100  # 10 x 10: an area of 98, rounded to whole patches
    assert 50 < areas.mean() < 64  # uniform between 16 and 98


def test_masked_patches_lie_together():
    """Of a block-wise mask far more neighbors are masked than of as many single patches."""
    rng = np.random.default_rng(0)

    def neighbors(draw):
        masks = np.stack([draw().reshape(GRID) for _ in range(200)])
        pairs = (masks[:, 1:] & masks[:, :-1]).sum() / masks[:, :-1].sum()
        return pairs

    alone = neighbors(lambda: np.isin(np.arange(196), rng.permutation(196)[:49]))
    assert alone < 0.3 and neighbors(lambda: block_token_mask(GRID, 49, rng=rng)) > 0.65


def test_every_place_is_masked_now_and_then():
    rng = np.random.default_rng(0)
    share = np.mean([block_token_mask(GRID, 49, rng=rng) for _ in range(500)], axis=0)
    assert share.min() > 0.01 and share.max() < 0.6


def test_transform_on_a_grid_that_is_not_square():
    results = BlockTokenMask((8, 16), 0.5, min_block=4).transform(dict(img=np.zeros((64, 96, 3), np.uint8)))
    assert results['mask'].shape == results['token_rank'].shape == (48,)
    assert results['mask'].sum() == 24 and sorted(results['token_rank']) == list(range(48))


@DATASETS.register_module()
class Gray:
    def full_init(self):
        pass

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return BlockTokenMask(16, 98 / 196).transform(dict(img=np.zeros((224, 224, 3), np.uint8)))


def test_a_function_of_seed_draw_and_index():
    dataset = SeededDataset(Gray())
    first = dataset[DrawKey(1, 2, 3)]
    np.random.seed(5)
    again = dataset[DrawKey(1, 2, 3)]
    assert np.array_equal(first['mask'], again['mask'])
    assert np.array_equal(first['token_rank'], again['token_rank'])
    for other in (DrawKey(0, 2, 3), DrawKey(1, 0, 3), DrawKey(1, 2, 0)):
        assert not np.array_equal(first['mask'], dataset[other]['mask'])


@pytest.mark.parametrize(
    ('kwargs', 'size', 'message'),
    [
        (dict(mask_ratio=1.5), 224, 'out of range'),
        (dict(min_block=0), 224, 'min_block=0 .* has to be 1 or more'),
        (dict(aspect=(3, 0.3)), 224, 'name the smallest and the largest'),
        (dict(mask_ratio=0.5), 64, 'masks 8 of 16 tokens, fewer than the smallest block has, 16'),
        (dict(), 100, 'not divisible into patches'),
    ],
)
def test_mistakes_are_named(kwargs, size, message):
    with pytest.raises(DataError, match=message):
        BlockTokenMask(16, **kwargs).transform(dict(img=np.zeros((size, size, 3), np.uint8)))
