"""Counting of the images that could not be read."""

from __future__ import annotations

import os
import os.path as osp

from mmengine.dist import barrier, broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmimg2vec.datasets import SeededDataset
from mmimg2vec.errors import UserError
from mmimg2vec.registry import HOOKS


@HOOKS.register_module()
class UnreadableImagesHook(Hook):
    """Names unreadable images in a file of the run's folder and ends the run when they are too many.

    ``mmimg2vec.SeededDataset`` replaces an unreadable image and writes ``path<TAB>reason`` into
    ``WORK_DIR/unreadable_images.txt``; the processes share that file. A resumed run goes on with it, a new one in the
    same folder starts it anew. Does nothing for other datasets. Epoch-based loops only: other loops of older mmengine
    versions start their workers before any hook runs.

    Args:
        max_share: Largest accepted share of distinct unreadable files in the dataset, 0 to 1; a single one is always
            accepted where the share is above 0.
        interval: Iterations between two looks at the file, beside that after each epoch.
        filename: Name of the file.
    """

    def __init__(
        self,
        max_share: float = 0.01,
        interval: int = 100,
        filename: str = 'unreadable_images.txt',
    ) -> None:
        self.max_share = max_share
        self.interval = interval
        self.filename = filename
        self.size = 0

    def before_train(self, runner: Runner) -> None:
        """Tell the dataset where to write, before its workers start."""
        self.path = osp.join(runner.work_dir, self.filename)
        if is_main_process() and runner.iter == 0 and osp.exists(self.path):
            os.remove(self.path)
        barrier()
        if isinstance(runner.train_dataloader.dataset, SeededDataset):
            runner.train_dataloader.dataset.unreadable_log = osp.abspath(self.path)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None):
        """Look at the file now and then."""
        if self.every_n_train_iters(runner, self.interval):
            self._check(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Look at the file."""
        self._check(runner)

    def _check(self, runner: Runner) -> None:
        # One rank reads for all: they would see the file at different times and not all of them end the run.
        shared = [self._read_if_changed() if is_main_process() else None]
        broadcast_object_list(shared)
        lines = shared[0]
        if lines is None:
            return
        count = len({line.split('\t')[0] for line in lines})
        total = len(runner.train_dataloader.dataset)
        runner.message_hub.update_scalar('train/unreadable_images', count)
        runner.logger.warning(
            f'{count} of {total} images are unreadable, others are drawn in their place: see {self.path}'
        )
        if count > max(self.max_share * total, float(self.max_share > 0)):
            raise UserError(
                f'{count} of {total} images are unreadable, more than max_share={self.max_share} of '
                f'UnreadableImagesHook; the last is {lines[-1]} (all: {self.path}): mend the data, or raise max_share'
            )

    def _read_if_changed(self) -> list[str] | None:
        size = osp.getsize(self.path) if osp.exists(self.path) else 0
        if size == self.size:
            return None
        self.size = size
        with open(self.path, encoding='utf-8', errors='replace') as file:
            return file.read().splitlines()
