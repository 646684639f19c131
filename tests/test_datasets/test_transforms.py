import io

import cv2
import numpy as np
import pytest
import torch
from mask_contract import MaskTransformContract
from mmengine.dataset import default_collate
from PIL import Image

from mmimg2vec.datasets import DataError, UnreadableImage
from mmimg2vec.datasets.headers import missing_end
from mmimg2vec.datasets.reading import depth_problem, image_size, unreadable
from mmimg2vec.datasets.transforms import (
    LoadImage,
    PackMaskedInputs,
    RandomTokenMask,
    random_token_mask,
)

IMAGE = cv2.resize(np.random.RandomState(0).randint(0, 256, (6, 8, 3), dtype=np.uint8), (80, 60))


def test_exactly_the_count_is_masked_uniformly():
    rng = np.random.default_rng(0)
    masks = np.stack([random_token_mask(12, 9, rng) for _ in range(4000)])
    assert masks.dtype == bool
    assert (masks.sum(1) == 9).all()
    assert np.abs(masks.mean(0) - 0.75).max() < 0.04


class TestRandomTokenMask(MaskTransformContract):
    def build(self, mask_ratio=None, **kwargs):
        return RandomTokenMask(self.patch, self.ratio if mask_ratio is None else mask_ratio, **kwargs)


class TestBlocks:
    """Squares of patches are masked or visible as a whole."""

    def test_a_block_is_one_thing(self):
        np.random.seed(0)
        mask = RandomTokenMask((8, 16), 0.7, block=2).transform(dict(img=np.zeros((64, 192, 3))))['mask'].reshape(8, 12)
        blocks = mask.reshape(4, 2, 6, 2).swapaxes(1, 2).reshape(4, 6, 4)
        assert (blocks.all(-1) | ~blocks.any(-1)).all()
        # round(24 blocks * 0.7), of four patches each
        assert mask.sum() == 17 * 4 and RandomTokenMask((8, 16), 0.7, block=2).count(64, 192) == (96, 68)

    def test_one_patch_is_the_mask_of_before(self):
        drawn = []
        for kwargs in ({}, {'block': 1}):
            np.random.seed(3)
            drawn.append(RandomTokenMask(8, 0.75, **kwargs).transform(dict(img=np.zeros((64, 64, 3)))))
        assert (drawn[0]['mask'] == drawn[1]['mask']).all() and (drawn[0]['token_rank'] == drawn[1]['token_rank']).all()

    def test_mistakes(self):
        with pytest.raises(DataError, match=r'14 x 14 patches are not divisible into blocks of 4 x 4'):
            RandomTokenMask(16, 0.75, block=4).transform(dict(img=np.zeros((224, 224, 3))))
        with pytest.raises(DataError, match='block=0 of RandomTokenMask'):
            RandomTokenMask(16, 0.75, block=0)


def test_patches_that_are_not_square():
    results = RandomTokenMask((8, 16), 0.6).transform(dict(img=np.zeros((40, 64, 3), np.uint8)))
    assert results['mask'].shape == results['token_rank'].shape == (20,)
    assert results['mask'].sum() == 12


def test_grids_that_cannot_be_masked():
    with pytest.raises(DataError, match=r'60 x 64 px is not divisible into patches of 16 x 16'):
        RandomTokenMask(16).transform(dict(img=np.zeros((60, 64, 3))))
    for ratio in (0.05, 0.95):
        with pytest.raises(DataError, match=r'of 4 tokens: at least one'):
            RandomTokenMask(16, ratio).transform(dict(img=np.zeros((32, 32, 3))))


def test_packed_samples_stack():
    def sample(index):
        results = dict(img=np.full((32, 48, 3), index, np.uint8), img_path=f'{index}.jpg', sample_idx=index)
        return PackMaskedInputs().transform(RandomTokenMask(16, 0.5).transform(results))

    batch = default_collate([sample(0), sample(1)])
    assert batch['inputs'].shape == (2, 3, 32, 48) and batch['inputs'].dtype == torch.uint8
    assert batch['mask'].shape == (2, 6) and batch['mask'].dtype == torch.bool
    assert batch['token_rank'].shape == (2, 6) and batch['token_rank'].dtype == torch.int64
    assert [s.img_path for s in batch['data_samples']] == ['0.jpg', '1.jpg']
    assert [s.sample_idx for s in batch['data_samples']] == [0, 1]


def test_a_label_is_packed_where_there_is_one():
    masked = dict(img=np.zeros((32, 32, 3), np.uint8), mask=np.eye(2, dtype=bool).ravel(), token_rank=np.arange(4))
    assert PackMaskedInputs().transform({**masked, 'gt_label': 3})['data_samples'].gt_label.tolist() == [3]
    assert 'gt_label' not in PackMaskedInputs().transform(masked)['data_samples']


def encoded(extension):
    return cv2.imencode(extension, IMAGE)[1].tobytes()


@pytest.mark.parametrize('extension', ['.jpg', '.png'])
def test_load_image_reads_what_mmcv_reads(tmp_path, extension):
    path = tmp_path / f'image{extension}'
    path.write_bytes(encoded(extension) + b'\0\0')  # trailing bytes occur in the wild
    results = LoadImage().transform(dict(img_path=str(path)))
    assert np.array_equal(results['img'], cv2.imread(str(path)))
    assert results['img_shape'] == results['ori_shape'] == (60, 80)


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (None, 'missing'),
        (b'', 'empty'),
        (b'not an image', 'not decodable'),
        (encoded('.jpg')[:-500], 'cut short'),
        (encoded('.png')[:-500], 'cut short'),
    ],
)
def test_unreadable_files(tmp_path, content, reason):
    path = tmp_path / 'image.jpg'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=reason) as error:
        LoadImage().transform(dict(img_path=str(path)))
    assert error.value.path == str(path)


def test_a_folder_and_a_broken_array_are_unreadable(tmp_path):
    with pytest.raises(UnreadableImage):
        LoadImage().transform(dict(img_path=str(tmp_path)))
    path = tmp_path / 'x.npy'
    np.save(path, np.array([{'code': 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UnreadableImage, match=r'not decodable'):
        LoadImage().transform(dict(img_path=str(path)))


def test_cut_jpeg_with_a_whole_thumbnail_is_found():
    buffer = io.BytesIO()
    exif = b'Exif\0\0' + encoded('.jpg')[:3000] + b'\xff\xda..\xff\xd9'
    Image.fromarray(IMAGE).save(buffer, 'jpeg', exif=exif)
    assert not missing_end(buffer.getvalue())
    assert missing_end(buffer.getvalue()[:-300])


@pytest.mark.parametrize('mode', ['progressive', 'gray'])
def test_complete_jpegs_are_complete(mode):
    buffer = io.BytesIO()
    image = Image.fromarray(IMAGE).convert('L' if mode == 'gray' else 'RGB')
    image.save(buffer, 'jpeg', progressive=mode == 'progressive')
    assert not missing_end(buffer.getvalue())


def test_channel_count_is_checked(tmp_path):
    path = tmp_path / 'multi.npy'
    array = np.random.RandomState(0).randint(0, 256, (20, 24, 6), dtype=np.uint8)
    np.save(path, array)
    results = LoadImage(channels=6).transform(dict(img_path=str(path)))
    assert np.array_equal(results['img'], array)
    with pytest.raises(DataError, match=r'multi.npy has 6 channels where 3 are expected'):
        LoadImage().transform(dict(img_path=str(path)))
    gray = tmp_path / 'gray.png'
    cv2.imwrite(str(gray), IMAGE[..., 0])
    with pytest.raises(DataError, match=r'has 1 channels where 6'):
        LoadImage(channels=6, color_type='unchanged').transform(dict(img_path=str(gray)))
    assert LoadImage().transform(dict(img_path=str(gray)))['img'].shape == (60, 80, 3)


def test_multichannel_tiff(tmp_path):
    tifffile = pytest.importorskip('tifffile')
    array = np.random.RandomState(0).randint(0, 4096, (20, 24, 6)).astype(np.uint16)
    path = tmp_path / 'multi.tif'
    tifffile.imwrite(path, array)
    options = dict(channels=6, color_type='unchanged', imdecode_backend='tifffile')
    with pytest.raises(DataError, match=r'holds uint16 values \(0 to 409\d\): set value_range='):
        LoadImage(**options).transform(dict(img_path=str(path)))
    results = LoadImage(to_float32=True, **options).transform(dict(img_path=str(path)))
    assert np.array_equal(results['img'], array.astype(np.float32))
    scaled = LoadImage(value_range=(0, 4095), **options).transform(dict(img_path=str(path)))['img']
    assert scaled.dtype == np.float32 and np.allclose(scaled, array / 4095 * 255, atol=1e-4)


@pytest.mark.parametrize('bands', [4, 5])
@pytest.mark.parametrize('layout', [
    dict(photometric='rgb'), dict(photometric='minisblack'), dict(photometric='minisblack', planarconfig='separate'),
])  # fmt: skip
def test_bands_of_a_tiff_stay_as_they_are(tmp_path, bands, layout):
    """OpenCV multiplies the first three by the fourth, and reads one band of other files."""
    tifffile = pytest.importorskip('tifffile')
    array = np.random.RandomState(0).randint(0, 256, (20, 24, bands), dtype=np.uint8)
    array[0, 0, :4] = 255, 10, 20, 77
    path = tmp_path / 'x.tif'
    tifffile.imwrite(path, array.transpose(2, 0, 1) if 'planarconfig' in layout else array, **layout)
    results = LoadImage(channels=bands, color_type='unchanged').transform(dict(img_path=str(path)))
    assert np.array_equal(results['img'], array)


@pytest.mark.parametrize('bands', [3, 4])
def test_bands_that_are_pages_are_not_taken_for_the_first(tmp_path, bands):
    tifffile = pytest.importorskip('tifffile')
    array = np.random.RandomState(0).randint(0, 256, (bands, 20, 24), dtype=np.uint8)
    path = tmp_path / 'x.tif'
    tifffile.imwrite(path, array, photometric='minisblack')
    with pytest.raises(DataError, match=rf"has {bands} bands: set channels={bands} and color_type='unchanged'"):
        LoadImage().transform(dict(img_path=str(path)))
    results = LoadImage(channels=bands, color_type='unchanged').transform(dict(img_path=str(path)))
    assert np.array_equal(results['img'], array.transpose(1, 2, 0))


@pytest.mark.parametrize('behind', [b'\0\0', b'\xff\xda', bytes(range(256)) * 40, encoded('.jpg')[:500]])
@pytest.mark.parametrize('extension', ['.jpg', '.png', '.webp', '.bmp'])
def test_what_follows_a_complete_picture_does_not_matter(tmp_path, extension, behind):
    """A motion photo is a JPEG file with a video behind it."""
    path = tmp_path / f'image{extension}'
    path.write_bytes(encoded(extension) + behind)
    assert unreadable(path) is None
    path.write_bytes(encoded(extension)[:-300])
    assert unreadable(path) == 'cut short'


@pytest.mark.parametrize(('settings', 'size', 'turned'), [
    (dict(), (60, 80), True), (dict(color_type='color_ignore_orientation'), (80, 60), False),
])  # fmt: skip
def test_header_and_loader_agree_on_turned_photos(tmp_path, settings, size, turned):
    photo, exif = Image.fromarray(np.rot90(IMAGE).copy()), Image.Exif()
    exif[0x0112] = 6
    photo.save(tmp_path / 'x.jpg', exif=exif)
    results = dict(img_path=str(tmp_path / 'x.jpg'))
    assert LoadImage(**settings).transform(dict(results))['img_shape'] == size
    assert image_size(tmp_path / 'x.jpg', turned) == size
    given = dict(results, height=size[1], width=size[0])
    with pytest.raises(UnreadableImage, match=r"set color_type='color_ignore_orientation'"):
        LoadImage(**settings).transform(given)


def test_large_pictures_are_refused_before_they_are_decoded(tmp_path):
    for name in ('x.png', 'x.jpg', 'x.webp', 'x.tif'):
        Image.new('L', (3000, 2000)).save(tmp_path / name)
        assert unreadable(tmp_path / name) is None
        with pytest.raises(UnreadableImage, match=r'2000 x 3000 px are more than max_pixels=5000000'):
            LoadImage(max_pixels=5_000_000).transform(dict(img_path=str(tmp_path / name)))


@pytest.mark.parametrize(('top', 'good'), [(4016, False), (65000, True)])
def test_sixteen_bits_that_lose_their_values_are_named(tmp_path, top, good):
    grey = np.linspace(0, top, 60 * 80).reshape(60, 80).astype(np.uint16)
    paths = [tmp_path / name for name in ('a.png', 'a.tif')]
    for path in paths:
        cv2.imwrite(str(path), grey)
        problem = depth_problem([dict(img_path=str(path))], LoadImage())
        assert (problem is None) == good
        scaled = LoadImage(value_range=(0, top)).transform(dict(img_path=str(path)))['img']
        assert np.allclose(scaled[..., 0], grey / top * 255, atol=1e-3)
        assert depth_problem([dict(img_path=str(path))], LoadImage(value_range=(0, top))) is None
    if not good:
        assert 'a.png and others hold 16-bit values of which the highest is 4016' in depth_problem(
            [dict(img_path=str(path)) for path in paths], LoadImage()
        )


def test_six_channels_through_the_whole_pipeline(tmp_path):
    from mmimg2vec.registry import TRANSFORMS

    path = tmp_path / 'multi.npy'
    np.save(path, np.random.RandomState(0).randint(0, 256, (40, 50, 6), dtype=np.uint8))
    results = dict(img_path=str(path), sample_idx=0)
    for config in (
        dict(type='mmimg2vec.LoadImage', channels=6),
        dict(type='mmpretrain.RandomResizedCrop', scale=32, interpolation='bicubic'),
        dict(type='mmpretrain.RandomFlip', prob=1.0),
        dict(type='mmimg2vec.RandomTokenMask', patch_size=16),
        dict(type='mmimg2vec.PackMaskedInputs'),
    ):
        results = TRANSFORMS.build(config).transform(results)
    assert results['inputs'].shape == (6, 32, 32)
