"""Labeled images that judge frozen features: their loaders, and kNN accuracy for each way of pooling."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader

from mmimg2vec.datasets import SeededDataset
from mmimg2vec.datasets.folders import build_dataset
from mmimg2vec.datasets.preparation import use_own_loader
from mmimg2vec.evaluation.knn import knn_accuracy

#: Of the images that vote, and of those that are classified.
LOADERS = ('bank_dataloader', 'query_dataloader')


def build_labeled_loader(
    config: Mapping[str, Any], key: str, seed: int | None = None, classes: Sequence[str] | None = None
) -> DataLoader:
    """Build a dataloader of images in a fixed order; unreadable ones are replaced and named in the log.

    Args:
        config: Of the dataloader, with a pipeline without randomness ending in ``mmpretrain.PackInputs``. Sampler and
            ``collate_fn`` may be left out.
        key: Where it stands in the config, for errors.
        seed: Of the run.
        classes: Names of the classes that its folders belong to: those of the images that vote.

    Raises:
        UserError: A folder is missing or empty.
    """
    loader = copy.deepcopy(dict(config))
    # An unreadable image, of `mmimg2vec.LoadImage`, is replaced there instead of ending the run.
    use_own_loader(loader['dataset'])
    loader['dataset'] = SeededDataset(build_dataset(loader['dataset'], DATASETS, f'{key}.dataset', classes))
    loader.setdefault('sampler', {'type': 'DefaultSampler', 'shuffle': False})
    loader.setdefault('collate_fn', {'type': 'default_collate'})
    # Workers draw seeds when they start: the run that this belongs to goes on as if nothing had happened.
    with torch.random.fork_rng(devices=[]):
        return Runner.build_dataloader(loader, seed=seed)


def build_labeled_loaders(configs: Mapping[str, Any], key: str, seed: int | None = None) -> list[DataLoader]:
    """Build the dataloaders of :data:`LOADERS`; both label by the classes of the images that vote.

    Args:
        configs: Has a config for each.
        key: Where they stand in the config.
        seed: Of the run.

    Raises:
        UserError: A folder is missing or empty, or its classes are others.
    """
    bank = build_labeled_loader(configs[LOADERS[0]], f'{key}.{LOADERS[0]}', seed)
    classes = getattr(bank.dataset, 'metainfo', {}).get('classes')
    return [bank, build_labeled_loader(configs[LOADERS[1]], f'{key}.{LOADERS[1]}', seed, classes)]


def knn_accuracies(
    bank: tuple[Mapping[str, Tensor], Tensor],
    query: tuple[Mapping[str, Tensor], Tensor],
    k: int = 20,
    temperature: float = 0.07,
    device: torch.device | str = 'cpu',
) -> dict[str, float]:
    """Accuracy in percent of nearest neighbors, for each way of pooling.

    Args:
        bank: Of the images that vote, as ``extract_features`` gives it: pool -> features ``(N, C)``, and labels
            ``(N,)``.
        query: Of the images that are classified.
        k: See ``knn_accuracy``.
        temperature: See ``knn_accuracy``.
        device: Where to compute.
    """
    (voting, voting_labels), (asking, labels) = bank, query
    return {
        pool: knn_accuracy(
            voting[pool].to(device),
            voting_labels.to(device),
            asking[pool].to(device),
            labels.to(device),
            k=k,
            temperature=temperature,
        )
        for pool in voting
    }
