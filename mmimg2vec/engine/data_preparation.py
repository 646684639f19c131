"""Before the data of a run are built: one check of all its splits, by whatever script it was started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop

from mmimg2vec.datasets.checks import found_text
from mmimg2vec.datasets.preparation import apply_to, check_data
from mmimg2vec.utils.distributed import on_main_process


def prepare_data(runner: Runner, splits: Sequence[str]) -> None:
    """Check the data of a runner's splits, and let its dataloaders and evaluators read what was mended.

    What is built already is left alone; a second call does nothing.

    Args:
        runner: The runner, before it trains or tests.
        splits: Any of 'train', 'val' and 'test'.

    Raises:
        UserError: Something is missing, or cannot be mended.
    """
    done = runner.__dict__.setdefault('_mmimg2vec_prepared', set())
    loaders, evaluators = {}, {}
    for split in splits:
        loader, evaluator = getattr(runner, f'_{split}_dataloader', None), getattr(runner, f'_{split}_evaluator', None)
        if split in done or not _has_dataset(loader):
            continue
        done.add(split)
        loaders[f'{split}_dataloader'] = loader
        if evaluator is not None:
            evaluators[f'{split}_evaluator'] = evaluator
    if not loaders:
        return
    copies, notes = on_main_process(lambda: check_data(loaders, evaluators, runner.work_dir))
    if notes:
        print_log(f'annotations: {" | ".join(notes)}', 'current')
    apply_to(loaders, evaluators, copies)


def share_classes(runner: Runner, dataset: Any) -> None:
    """Let folders of validation images get the labels of the classes that are trained on.

    Args:
        runner: The runner, before its validation data are built.
        dataset: What it trains on.
    """
    loader: Any = getattr(runner, '_val_dataloader', None)
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    if classes and _has_dataset(loader) and str(loader['dataset'].get('type')).endswith('EvaluationDataset'):
        loader['dataset']['classes'] = classes


def count_text(runner: Runner) -> str:
    """How many images each built dataset of a run has, and what was left out of its folders."""
    parts = []
    for split in ('train', 'val', 'test'):
        loop = getattr(runner, f'_{split}_loop', None)
        if isinstance(loop, BaseLoop):
            parts.append(f'{split} {found_text(loop.dataloader.dataset)}')
    return f'data: {" | ".join(parts)}'


def _has_dataset(loader: Any) -> bool:
    return isinstance(loader, Mapping) and isinstance(loader.get('dataset'), Mapping)
