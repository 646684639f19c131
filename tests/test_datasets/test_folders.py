"""Folders and annotation files that are not there are named with the key that would set them."""

import mmseg.registry
import pytest
from mmengine.registry import DATASETS

from mmimg2vec.datasets.folders import _where, build_dataset, check_data_paths
from mmimg2vec.errors import UserError

KEY = 'train_dataloader.dataset'


@pytest.fixture
def data(tmp_path):
    (tmp_path / 'train').mkdir()
    (tmp_path / 'list.txt').write_text('')
    return tmp_path


def test_what_is_there_passes(data):
    root = str(data)
    for dataset in (
        dict(data_root=root),
        dict(data_root=root, data_prefix='train', ann_file='list.txt'),
        dict(data_root=root, data_prefix=dict(img='train')),
        dict(data_root=root, split='train'),
        dict(ann_file=f'{root}/list.txt'),
        dict(data_root='s3://somewhere', data_prefix='x', ann_file='list.txt'),
        # Beside an annotation file a prefix may be the beginning of file names.
        dict(data_root=root, data_prefix='tra', ann_file='list.txt'),
        dict(),
    ):
        check_data_paths(dataset, KEY)


@pytest.mark.parametrize(
    ('dataset', 'missing'),
    [
        (dict(data_root='{root}/gone'), 'data folder {root}/gone'),
        # An annotation file elsewhere does not make up for the folder.
        (dict(data_root='{root}/gone', ann_file='{root}/list.txt'), 'data folder {root}/gone'),
        (dict(data_root='{root}', data_prefix='gone'), 'data folder {root}/gone'),
        (dict(data_root='{root}', split='gone'), 'data folder {root}/gone'),
        (dict(data_root='{root}', data_prefix=dict(img='train', seg='gone')), 'data folder {root}/gone'),
        (dict(data_root='{root}', ann_file='gone.txt'), 'annotation file {root}/gone.txt'),
        (dict(ann_file='{root}/gone.txt'), 'annotation file {root}/gone.txt'),
    ],
)
def test_what_is_missing_is_named(data, dataset, missing):
    def fill(value):
        return {k: fill(v) for k, v in value.items()} if isinstance(value, dict) else value.format(root=data)

    with pytest.raises(UserError) as error:
        check_data_paths(fill(dataset), KEY)
    assert str(error.value).startswith(f'no {missing.format(root=data)}: set ')
    option = 'ann_file=FILE' if 'annotation' in missing else 'data_root=FOLDER'
    assert str(error.value).endswith(f'--cfg-options {KEY}.{option}')


def test_the_home_folder_is_found(data, monkeypatch):
    monkeypatch.setenv('HOME', str(data))
    check_data_paths(dict(data_root='~', data_prefix='train', ann_file='list.txt'), KEY)
    check_data_paths(dict(ann_file='~/list.txt'), KEY)
    with pytest.raises(UserError, match=f'{data}/gone'):
        check_data_paths(dict(data_root='~/gone'), KEY)


def test_a_folder_with_other_files_names_their_ending(data):
    for name in ('a.npz', 'b.npz', 'c.txt'):
        (data / 'train' / name).write_text('')
    config = dict(type='mmpretrain.CustomDataset', data_root=str(data), data_prefix='train', with_label=False)
    with pytest.raises(UserError) as error:
        build_dataset(config, DATASETS, KEY)
    assert str(error.value) == (
        f'no images in {data}/train: set data_root in the config, or pass --cfg-options {KEY}.data_root=FOLDER; '
        'it holds 2 files .npz, which are not read (a.npz: empty file): convert them'
    )


def test_a_dataset_is_returned_as_it_is():
    dataset = [1, 2]
    assert build_dataset(dataset, DATASETS, KEY) is dataset


@pytest.mark.parametrize(
    ('dataset', 'where'),
    [
        (dict(data_root='a', data_prefix='b', split='c'), 'a/b'),
        (dict(data_root='a', split='c'), 'a/c'),
        (dict(data_root='a', data_prefix=dict(img_path='b', img='c')), 'a/b'),
        (dict(data_root='a', data_prefix=dict(img='c')), 'a/c'),
        (dict(data_root='a', data_prefix=dict(seg='c')), 'a'),
        (dict(ann_file='list.txt'), 'list.txt'),
        (dict(), 'CustomDataset'),
    ],
)
def test_what_a_message_calls_a_dataset(dataset, where):
    assert _where({'type': 'CustomDataset', **dataset}) == where


def test_maps_whose_images_have_another_ending(tmp_path):
    images = tmp_path / 'img'
    images.mkdir()
    dataset = dict(type='mmseg.BaseSegDataset', data_root=str(tmp_path), data_prefix=dict(img_path='img'), pipeline=[])
    with pytest.raises(UserError, match=r'no samples are left in .*/img: set data_root .* filter_cfg and indices'):
        build_dataset(dataset, mmseg.registry.DATASETS, KEY)
    for name in ('1.tif', '2.tif', 'notes.txt', 'README'):
        (images / name).touch()
    message = rf"no samples are left in {images}; it holds 2 files \.tif: to read them set {KEY}\.img_suffix='\.tif'$"
    with pytest.raises(UserError, match=message):
        build_dataset(dataset, mmseg.registry.DATASETS, KEY)
