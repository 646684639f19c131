"""Folders and lists of images: hidden ones, missing classes, endings, bad lines."""

import os
import shutil

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope
from torch import nn

from mmimg2vec.datasets import EvaluationDataset
from mmimg2vec.datasets.checks import check_mixed_classes
from mmimg2vec.datasets.folders import build_dataset
from mmimg2vec.datasets.image_files import find_images, left_out_text, look_through
from mmimg2vec.datasets.lists import check_list
from mmimg2vec.datasets.reading import IMAGE_SUFFIXES
from mmimg2vec.errors import UserError
from mmimg2vec.evaluation import build_labeled_loaders


def build(root, classes=None, **kwargs):
    config = dict(type='mmpretrain.CustomDataset', data_root=str(root), **kwargs)
    return build_dataset(config, DATASETS, 'val_dataloader.dataset', classes)


def labels(dataset):
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return {os.path.basename(os.path.dirname(info['img_path'])): info['gt_label'] for info in infos}


@pytest.fixture
def folders(image_folder):
    hidden = image_folder / '.ipynb_checkpoints'
    hidden.mkdir()
    shutil.copy(image_folder / 'class_0' / '00.jpg', hidden / 'x-checkpoint.jpg')
    (image_folder / 'class_0' / '._00.jpg').write_bytes(b'x')
    (image_folder / 'class_0' / 'note.txt').write_text('x')
    return image_folder


def test_hidden_folders_are_left_out(folders):
    labelled, plain = build(folders), build(folders, with_label=False)
    assert len(labelled) == len(plain) == 12
    assert labelled.metainfo['classes'] == ('class_0', 'class_1')
    assert labelled.left_out == plain.left_out == {'hidden': 2, '*.txt': 1}
    assert left_out_text(plain.left_out) == '; left out: 2 hidden, 1 *.txt'
    assert len(find_images([folders], folders / 'out')) == 12


def test_a_type_without_its_scope_is_found(folders):
    init_default_scope('mmpretrain')
    built = build_dataset(dict(type='CustomDataset', data_root=str(folders)), DATASETS, 'key')
    assert built.metainfo['classes'] == ('class_0', 'class_1') and built.left_out['hidden'] == 2


def test_a_missing_class_does_not_shift_the_labels(folders):
    shutil.rmtree(folders / 'class_0')
    assert labels(build(folders)) == {'class_1': 0}
    dataset = build(folders, classes=('class_0', 'class_1', 'class_2'))
    assert labels(dataset) == {'class_1': 1} and dataset.empty_classes == ['class_0', 'class_2']
    with pytest.raises(UserError, match=r'has the folder class_1, which is none of the 2 classes'):
        build(folders, classes=('class_0', 'class_2'))
    named = build(folders, metainfo=dict(classes=('first',)))  # folders of other names count in their order
    assert labels(named) == {'class_1': 0}
    with pytest.raises(UserError, match=r"doesn't match the number of specified classes"):
        build(folders, metainfo=dict(classes=('first', 'second')))


def test_one_list_of_endings(tmp_path):
    for number, suffix in enumerate((*IMAGE_SUFFIXES, '.JPG', '.Tiff')):
        (tmp_path / f'{number}{suffix}').write_bytes(b'x')
    (tmp_path / 'x.gif').write_bytes(b'GIF')
    (tmp_path / 'loop').symlink_to(tmp_path)
    count = len(IMAGE_SUFFIXES) + 2
    assert len(build(tmp_path, with_label=False)) == len(look_through(tmp_path)[0]) == count
    assert len(build(tmp_path, with_label=False, extensions=('.webp',))) == 1
    with pytest.raises(UserError, match=r'For unlabeled images set with_label=False'):
        build(tmp_path)
    with pytest.raises(UserError, match=r'no images in .*; it holds \d files .*, which are not read .*: convert them'):
        build(tmp_path, with_label=False, extensions=('.png2',))
    cv2.imwrite(str(tmp_path / 'x.png'), np.zeros((4, 4, 3), np.uint8))
    (tmp_path / 'other').mkdir()
    (tmp_path / 'x.png').rename(tmp_path / 'other' / 'x.tile')
    with pytest.raises(UserError, match=r"it holds 1 files .tile: to read them set .*extensions=\['.tile'\]"):
        build(tmp_path / 'other', with_label=False)


@pytest.mark.parametrize(('text', 'with_label', 'message'), [
    ('a.jpg 0\r\nb c.jpg 1\r\n', True, None), ('a.jpg\nb c.jpg\n', False, None), ('a.jpg 0', True, None),
    ('a.jpg 0\n\n', True, 'line 2: empty: remove the line'), ('a.jpg\n\nb.jpg', False, 'line 2: empty'),
    ('a.jpg\t0\n', True, 'line 1: .* has a tab where a space is expected'),
    ('a.jpg 0\nb.jpg\n', True, 'line 2: .*has no label'),
    ('a.jpg 0\nb.jpg ball\n', True, "line 2: the label 'ball' is no number from 0"),
    ('a.jpg -1\n', True, "line 1: the label '-1'"),
    ('a.jpg ²\n', True, "line 1: the label '²'"),
    ('a.jpg,0\n', True, 'line 1: .* has a comma where a space is expected'),
    ('"a.jpg" 0\n', True, 'line 1: "a.jpg" stands in quotes'), ("'a.jpg'\n", False, 'line 1: .* in quotes'),
    ('a.jpg  0\n', True, 'line 1: .* has more than one space before the label'),
])  # fmt: skip
def test_lists_of_images(tmp_path, text, with_label, message):
    path = tmp_path / 'list.txt'
    path.write_bytes(text.encode())
    if message is None:
        check_list(path, with_label, 'key')
        return
    with pytest.raises(UserError, match=rf'list.txt, {message}'):
        check_list(path, with_label, 'key')
    with pytest.raises(UserError, match=r'ann_file of val_dataloader.dataset'):
        build(tmp_path, ann_file='list.txt', with_label=with_label)


@pytest.mark.parametrize('broken', [('00.jpg',), ('00.jpg', '02.jpg')])
def test_an_unreadable_image_is_scored_as_a_black_one(dataset_config, image_folder, broken):
    init_default_scope('mmpretrain')
    dataset_config['pipeline'] = [dict(type='mmimg2vec.LoadImage'), dict(type='mmpretrain.PackInputs')]
    for name in broken:
        (image_folder / 'class_0' / name).write_bytes(b'')
    dataset = EvaluationDataset(dataset_config)
    samples = [dataset[index] for index in range(len(dataset))]
    assert len(samples) == 12 and dataset.metainfo['classes'] == ('class_0', 'class_1')
    assert all(sample['inputs'].shape == (3, 40, 48) for sample in samples)
    black = [s['data_samples'].img_path for s in samples if not s['inputs'].any()]
    assert black == [str(image_folder / 'class_0' / name) for name in broken]
    assert [int(s['data_samples'].gt_label) for s in samples] == [0] * 6 + [1] * 6
    assert set(dataset.unreadable._met) == set(black)


def test_mixed_labels_are_as_wide_as_the_head():
    model, preprocessor = nn.Module(), nn.Module()
    model.data_preprocessor = preprocessor
    preprocessor.num_classes = 1000
    check_mixed_classes(model, {'head': 10})
    preprocessor.batch_augments = 'mixup'
    check_mixed_classes(model, {'head': 1000})
    with pytest.raises(UserError, match=r'set model.data_preprocessor.num_classes=10'):
        check_mixed_classes(model, {'head': 10})


def test_images_that_vote_and_that_are_asked_are_labelled_alike(folders):
    """A hidden folder among the former, or a class missing among the latter, once moved all labels by one."""
    asked = folders.parent / 'asked'
    shutil.copytree(folders / 'class_1', asked / 'class_1')
    steps = [dict(type='mmpretrain.LoadImageFromFile'), dict(type='mmpretrain.PackInputs')]
    config = dict(batch_size=2, num_workers=0, dataset=dict(type='mmpretrain.CustomDataset', pipeline=steps))
    bank, query = build_labeled_loaders(
        {
            'bank_dataloader': dict(config, dataset=dict(config['dataset'], data_root=str(folders))),
            'query_dataloader': dict(config, dataset=dict(config['dataset'], data_root=str(asked))),
        },
        'knn',
    )
    assert bank.dataset.metainfo['classes'] == query.dataset.metainfo['classes'] == ('class_0', 'class_1')
    assert {int(label) for batch in query for label in [s.gt_label for s in batch['data_samples']]} == {1}


@pytest.mark.parametrize(('data', 'message'), [
    (b'\xef\xbb\xbfa.jpg 0\n', 'begins with a byte order mark'), (b'', 'is empty'), (b'<html>\n', 'is a web page'),
    (b'version https://git-lfs.github.com/spec/v1\n', 'is a pointer of Git LFS'), (b'\xff\xfea\0', 'is no text file'),
])  # fmt: skip
def test_lists_that_are_something_else(tmp_path, data, message):
    path = tmp_path / 'list.txt'
    path.write_bytes(data)
    with pytest.raises(UserError, match=f'list.txt {message}'):
        check_list(path, True, 'key')


def test_images_whose_names_have_no_ending(tmp_path):
    (tmp_path / 'a').touch()
    with pytest.raises(UserError, match=r'no images in .*; left out: 1 without ending'):
        build(tmp_path, with_label=False)
