"""Crops of photos decoded at a reduced scale: the same crops as ever, and the same pictures within a tolerance."""

import io

import cv2
import numpy as np
import pytest
from mmpretrain.datasets.transforms import RandomResizedCrop
from PIL import Image

from mmimg2vec.datasets import DataError, UnreadableImage
from mmimg2vec.datasets.seeded import seeded
from mmimg2vec.datasets.transforms import LoadImage, LoadRandomResizedCrop, loading

SCALE = 32


def photo(height, width, seed=0):
    """A picture (H, W, 3) with structure at several scales, as photos have."""
    rng, image = np.random.RandomState(seed), np.zeros((height, width, 3), np.float32)
    for cells in (3, 8, 32, width // 8):
        noise = rng.rand(cells, cells, 3).astype(np.float32)
        image += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image * 64, 0, 255).astype(np.uint8)


def save(path, image, orientation=None, mode='RGB', **options):
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(image).convert(mode).save(path, exif=exif, **options)
    return dict(img_path=str(path))


@pytest.fixture
def reductions(monkeypatch):
    """The scales at which files have been decoded."""
    used, decode = [], loading.decode

    def record(*args):
        used.append(args[6])
        return decode(*args)

    monkeypatch.setattr(loading, 'decode', record)
    return used


def both(results, seed, **settings):
    """The new transform and the two that it replaces, at the same seed, and the state that each leaves behind."""
    crop = RandomResizedCrop(SCALE, crop_ratio_range=(0.2, 1.0), interpolation='bicubic')
    with seeded(seed):
        old = crop(LoadImage()(dict(results)))['img']
        left = np.random.random()
    with seeded(seed):
        new = LoadRandomResizedCrop(SCALE, crop_ratio_range=(0.2, 1.0), **settings)(dict(results))
        assert np.random.random() == left
    return old, new


def test_small_photos_are_what_they_were(tmp_path, reductions):
    results = save(tmp_path / 'x.jpg', photo(60, 80), orientation=6)
    for seed in range(20):
        old, new = both(results, seed, interpolation='bicubic')
        assert np.array_equal(old, new['img'])
    assert new['img_shape'] == (SCALE, SCALE) and new['ori_shape'] == (80, 60)
    assert set(reductions) == {1}


@pytest.mark.parametrize(
    ('orientation', 'progressive', 'reversed_rows', 'reversed_columns'),
    [(None, False, 0, 0), (None, True, 0, 0), (2, False, 0, 1), (3, False, 1, 1), (4, False, 1, 0), (5, False, 0, 0),
     (6, True, 0, 1), (7, False, 1, 1), (8, False, 1, 0)],
)  # fmt: skip
def test_large_photos_are_nearly_the_crops_decoded_whole(
    tmp_path, reductions, orientation, progressive, reversed_rows, reversed_columns
):
    results = save(tmp_path / 'x.jpg', photo(447, 605), orientation, quality=90, progressive=progressive)
    whole = LoadImage()(dict(results))['img']
    crop, used = RandomResizedCrop(SCALE, crop_ratio_range=(0.2, 1.0)), []
    for seed in range(6):
        with seeded(seed):
            top, left, height, width = crop.rand_crop_params(whole)
        with seeded(seed):
            new = LoadRandomResizedCrop(SCALE, crop_ratio_range=(0.2, 1.0))(dict(results))
        used.append(reductions[-1])
        # The same crop with its edges moved to multiples of the reduction, counted from where the file begins.
        rows, columns = (
            slice(*(max(0, used[-1] * round((edge + pad) / used[-1]) - pad) for edge in (start, start + length)))
            for start, length, pad in (
                (top, height, -whole.shape[0] % used[-1] * reversed_rows),
                (left, width, -whole.shape[1] % used[-1] * reversed_columns),
            )
        )
        wanted = cv2.resize(whole[rows, columns], (SCALE, SCALE), interpolation=cv2.INTER_AREA)
        difference = np.abs(new['img'].astype(int) - wanted)
        # Of 255 levels; a crop that is moved by one pixel of the scale differs by more.
        assert difference.mean() < 0.55 * used[-1] and np.percentile(difference, 99) < 16, seed
        assert height / used[-1] >= SCALE and width / used[-1] >= SCALE
        assert used[-1] == 8 or height < 2 * used[-1] * SCALE or width < 2 * used[-1] * SCALE
    assert new['ori_shape'] == whole.shape[:2]
    assert set(used) == {4, 8}


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('x.png', {}),
        ('x.webp', dict(lossless=True)),
        ('x.bmp', {}),
        ('x.jpg', dict(mode='L')),
        ('x.jpg', dict(mode='CMYK')),
    ],
)
def test_other_files_are_right(tmp_path, name, options):
    results = save(tmp_path / name, photo(320, 400), **options)
    for seed in range(5):
        old, new = both(results, seed, interpolation='bicubic')
        if name == 'x.jpg':
            continue
        assert np.array_equal(old, new['img'])
    whole = LoadImage()(dict(results))['img']
    all_of_it = LoadRandomResizedCrop(SCALE, (1.0, 1.0), (5 / 4, 5 / 4))(dict(results))['img']
    wanted = cv2.resize(whole, (SCALE, SCALE), interpolation=cv2.INTER_AREA)
    assert np.abs(all_of_it.astype(int) - wanted).mean() < 0.55 * 8


@pytest.mark.parametrize(
    'settings',
    [dict(color_type='color_ignore_orientation'), dict(value_range=(0, 255)), dict(imdecode_backend='pillow')],
)
def test_other_settings_decode_the_whole_photo(tmp_path, reductions, settings):
    results = save(tmp_path / 'x.jpg', photo(300, 400), orientation=6)
    LoadRandomResizedCrop(SCALE, **settings)(dict(results))
    LoadRandomResizedCrop(SCALE)(dict(results, height=400, width=300))
    assert reductions == [1, 1]


def test_a_header_that_the_decoder_reads_otherwise_costs_a_second_decoding_only(tmp_path, reductions, monkeypatch):
    results = save(tmp_path / 'x.jpg', photo(300, 400))
    monkeypatch.setattr(loading, 'jpeg_orientation', lambda data: 6)
    old, new = both(results, 0, interpolation='bicubic')
    assert np.array_equal(old, new['img'])
    assert reductions[-2] > 1 and reductions[-1] == 1


def test_crops_smaller_than_the_result_are_enlarged_by_splines(tmp_path):
    results = save(tmp_path / 'x.jpg', photo(20, 24))
    old, new = both(results, 0)
    assert np.array_equal(old, new['img'])


def test_more_channels_and_other_shapes(tmp_path):
    np.save(tmp_path / 'x.npy', np.random.RandomState(0).randint(0, 256, (90, 120, 6), dtype=np.uint8))
    load = LoadRandomResizedCrop((16, 48), channels=6, color_type='unchanged')
    assert load(dict(img_path=str(tmp_path / 'x.npy')))['img'].shape == (16, 48, 6)
    results = save(tmp_path / 'x.jpg', photo(300, 400))
    assert LoadRandomResizedCrop([16, 48])(results)['img'].shape == (16, 48, 3)


def test_broken_photos_stay_unreadable(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(photo(300, 400)).save(buffer, 'jpeg')
    (tmp_path / 'x.jpg').write_bytes(buffer.getvalue()[:-200])
    with pytest.raises(UnreadableImage, match='cut short'):
        LoadRandomResizedCrop(SCALE)(dict(img_path=str(tmp_path / 'x.jpg')))
    (tmp_path / 'x.jpg').write_bytes(buffer.getvalue())
    with pytest.raises(UnreadableImage, match='max_pixels=1000'):
        LoadRandomResizedCrop(SCALE, max_pixels=1000)(dict(img_path=str(tmp_path / 'x.jpg')))
    with pytest.raises(DataError, match="'bicubic' averages as well"):
        LoadRandomResizedCrop(SCALE, backend='pillow')
