"""Images with labels: in the order of the folder, the same in every pass."""

import torch
import toy

from mmimg2vec.datasets import SeededDataset, ShardedImages
from mmimg2vec.datasets.shards.writing import ShardOptions, make_shards
from mmimg2vec.evaluation.labeled import LOADERS, build_labeled_loader, build_labeled_loaders, knn_accuracies


def labels_of(loader):
    return [int(sample.gt_label) for batch in loader for sample in batch['data_samples']]


def test_a_fixed_order_and_a_config_that_stays_as_it_was(tmp_path):
    config = toy.labeled_dataloader(toy.write_images(tmp_path / 'images'))
    loader = build_labeled_loader(config, 'probe', seed=3)
    assert isinstance(loader.dataset, SeededDataset)
    assert labels_of(loader) == labels_of(loader) == [0] * 6 + [1] * 6
    assert 'sampler' not in config and config['dataset']['pipeline'][0]['type'] == 'mmpretrain.LoadImageFromFile'


def test_the_classes_are_those_of_the_images_that_vote(tmp_path):
    """A folder that lacks the first class still has the labels of the others."""
    bank, query = toy.write_images(tmp_path / 'bank'), toy.write_images(tmp_path / 'query')
    for path in (query / 'class_0').iterdir():
        path.unlink()
    (query / 'class_0').rmdir()
    configs = dict(zip(LOADERS, map(toy.labeled_dataloader, (bank, query)), strict=True))
    voting, asking = build_labeled_loaders(configs, 'knn')
    assert labels_of(voting) == [0] * 6 + [1] * 6 and labels_of(asking) == [1] * 6


def test_shards_vote_as_their_folder_does(tmp_path):
    folder, shards = toy.write_images(tmp_path / 'images'), tmp_path / 'shards'
    make_shards(folder, shards, ShardOptions(), report=lambda line: None)
    loader = build_labeled_loader(toy.labeled_dataloader(shards), 'probe', seed=3)
    assert isinstance(loader.dataset.dataset, ShardedImages)
    samples = [sample for batch in loader for sample in batch['data_samples']]
    assert [int(sample.gt_label) for sample in samples] == [int('class_1' in sample.img_path) for sample in samples]
    assert sorted(labels_of(loader)) == [0] * 6 + [1] * 6


def test_accuracies_of_each_pooling():
    bank = {'cls': torch.eye(2), 'mean': torch.eye(2).flip(0)}, torch.tensor([0, 1])
    query = {'cls': torch.eye(2), 'mean': torch.eye(2)}, torch.tensor([0, 1])
    assert knn_accuracies(bank, query, k=1) == {'cls': 100.0, 'mean': 0.0}
