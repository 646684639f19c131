"""Images of a folder that Hugging Face's ``datasets`` has saved, where that package is installed."""

import importlib.util

import numpy as np
import pytest
from mmengine.registry import DATASETS as ROOT_DATASETS

from mmimg2vec.datasets import DrawKey, HFImages, SeededDataset
from mmimg2vec.datasets.checks import check_dataset
from mmimg2vec.datasets.folders import build_dataset
from mmimg2vec.datasets.transforms import LoadImage
from mmimg2vec.errors import UserError

LOAD = [dict(type='mmimg2vec.LoadImage')]
is_installed = pytest.mark.skipif(importlib.util.find_spec('datasets') is None, reason='datasets is not installed')


@pytest.fixture
def saved(image_folder, tmp_path):
    """The 12 images with labels, as the split train."""
    datasets = pytest.importorskip('datasets')
    paths = sorted(image_folder.rglob('*.jpg'))
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=['class_0', 'class_1']), text=datasets.Value('string')
    )
    rows = dict(
        image=[dict(path=None, bytes=path.read_bytes()) for path in paths],
        label=[int(path.parent.name[-1]) for path in paths],
        text=['words'] * len(paths),
    )
    table = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict(train=table).save_to_disk(tmp_path / 'saved')
    return tmp_path / 'saved', paths


@pytest.mark.skipif(importlib.util.find_spec('datasets') is not None, reason='datasets is installed')
def test_without_the_package_its_name_is_said(tmp_path):
    with pytest.raises(UserError, match=r'HFImages needs the package datasets .*pip install datasets'):
        HFImages(str(tmp_path))


@is_installed
def test_the_images_are_those_of_the_files(saved):
    folder, paths = saved
    dataset = HFImages(str(folder), split='train', pipeline=LOAD)
    assert len(dataset) == 12
    for sample, path in zip(dataset, paths, strict=True):
        assert np.array_equal(sample['img'], LoadImage()(dict(img_path=str(path)))['img'])
        assert sample['gt_label'] == int(path.parent.name[-1])
    assert check_dataset(dataset, 'train_dataloader') == []
    unlabeled = SeededDataset(
        dict(type='mmimg2vec.HFImages', data_root=str(folder), split='train', with_label=False, pipeline=LOAD)
    )
    assert 'gt_label' not in unlabeled[DrawKey(3, 0, 0)]
    config = dict(type='mmimg2vec.HFImages', data_root=str(folder), split='train', pipeline=LOAD)
    voting = build_dataset(config, ROOT_DATASETS, 'key', ['class_1', 'class_0'])
    assert [sample['gt_label'] for sample in voting] == [1 - int(path.parent.name[-1]) for path in paths]


@is_installed
def test_mistakes_are_named(saved, tmp_path):
    folder, _ = saved
    with pytest.raises(UserError, match=r'has the splits train: set key.split'):
        HFImages(str(folder), config_key='key')
    with pytest.raises(UserError, match=r"no images in the column 'text' \(columns of images: image\)"):
        HFImages(str(folder), split='train', image_column='text')
    with pytest.raises(UserError, match=r'with_label=False'):
        HFImages(str(folder), split='train', label_column='text')
    with pytest.raises(UserError, match='is no folder of Hugging Face datasets'):
        HFImages(str(tmp_path / 'gone'))
