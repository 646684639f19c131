"""Counting of the images that could not be read."""

from __future__ import annotations

import os
import os.path as osp
from typing import Any

from mmengine.dist import barrier, broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmimg2vec.datasets import EvaluationDataset, SeededDataset
from mmimg2vec.datasets.image_files import read_list
from mmimg2vec.errors import UserError
from mmimg2vec.registry import HOOKS


@HOOKS.register_module()
class UnreadableImagesHook(Hook):
    """Names unreadable images in a file of the run's folder and ends the run when they are too many.

    ``mmimg2vec.SeededDataset`` replaces an unreadable image in training, ``mmimg2vec.EvaluationDataset`` scores it as a
    black one; both name it in ``WORK_DIR/unreadable_images.jsonl`` (see
    :class:`~mmimg2vec.datasets.image_files.UnreadableList`), which the processes share. A resumed run goes on with the
    file, a new one in the same folder starts it anew. Does nothing for other datasets. Epoch-based loops only: other
    loops of older mmengine versions start their workers before any hook runs.

    Args:
        max_share: Largest accepted share of distinct unreadable files in a dataset, 0 to 1; a single one is always
            accepted where the share is above 0.
        interval: Iterations between two looks at the file, beside that after each epoch.
        filename: Name of the file; those of validation and test begin with ``val_`` and ``test_``.
    """

    def __init__(
        self,
        max_share: float = 0.01,
        interval: int = 100,
        filename: str = 'unreadable_images.jsonl',
    ) -> None:
        self.max_share = max_share
        self.interval = interval
        self.filename = filename
        self.sizes: dict[str, int] = {}

    def before_train(self, runner: Runner) -> None:
        """Tell the dataset where to write, before its workers start."""
        self._begin(runner, 'train', anew=runner.iter == 0)

    def before_val(self, runner: Runner) -> None:
        """Tell the dataset where to write."""
        self._begin(runner, 'val', anew='val' not in self.sizes)

    def before_test(self, runner: Runner) -> None:
        """Tell the dataset where to write."""
        self._begin(runner, 'test', anew=True)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None):
        """Look at the file now and then."""
        if self.every_n_train_iters(runner, self.interval):
            self._check(runner, 'train')

    def after_train_epoch(self, runner: Runner) -> None:
        """Look at the file."""
        self._check(runner, 'train')

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        """Look at the file."""
        self._check(runner, 'val')

    def after_test_epoch(self, runner: Runner, metrics=None) -> None:
        """Look at the file."""
        self._check(runner, 'test')

    def _path(self, runner: Runner, split: str) -> str:
        return osp.abspath(osp.join(runner.work_dir, self.filename if split == 'train' else f'{split}_{self.filename}'))

    def _begin(self, runner: Runner, split: str, anew: bool) -> None:
        path = self._path(runner, split)
        if is_main_process() and anew and osp.exists(path):
            os.remove(path)
        barrier()
        self.sizes.setdefault(split, 0)
        dataset = _dataset(runner, split)
        if isinstance(dataset, (SeededDataset, EvaluationDataset)):
            dataset.unreadable.write_to(path)

    def _check(self, runner: Runner, split: str) -> None:
        # One rank reads for all: they would see the file at different times and not all of them end the run.
        path = self._path(runner, split)
        shared = [self._read_if_changed(path, split) if is_main_process() else None]
        broadcast_object_list(shared)
        images = shared[0]
        if images is None:
            return
        count, total = len(images), len(_dataset(runner, split))
        if split == 'train':
            runner.message_hub.update_scalar('train/unreadable_images', count)
        fate = 'others are drawn in their place' if split == 'train' else 'they are scored as black ones'
        runner.logger.warning(f'{split}: {count} of {total} images are unreadable, {fate}: see {path}')
        if count > max(self.max_share * total, float(self.max_share > 0)):
            last, reason = list(images.items())[-1]
            raise UserError(
                f'{split}: {count} of {total} images are unreadable, more than max_share={self.max_share} of '
                f'UnreadableImagesHook; the last is {last}: {reason} (all: {path}): mend the data, or raise max_share'
            )

    def _read_if_changed(self, path: str, split: str) -> dict[str, str] | None:
        size = osp.getsize(path) if osp.exists(path) else 0
        if size == self.sizes.get(split, 0):
            return None
        self.sizes[split] = size
        return read_list(path)


def _dataset(runner: Runner, split: str) -> Any:
    return getattr(runner, f'{split}_dataloader').dataset
