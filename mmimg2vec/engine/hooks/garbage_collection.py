"""Python's garbage collection at the same steps on all processes."""

from __future__ import annotations

import gc
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmimg2vec.errors import UserError
from mmimg2vec.registry import HOOKS


@HOOKS.register_module()
class GarbageCollectionHook(Hook):
    """Collects garbage every ``interval`` steps, on all processes at the same step, and never in between.

    Python collects when it has counted enough new objects, in each process at another step, and the others wait for it:
    a short pause of one of many processes is one of all, in almost every step. Memory is freed by reference counting as
    before; only circles wait. An option for many processes: ``--cfg-options
    default_hooks.garbage.type=mmimg2vec.GarbageCollectionHook``. (As torchtitan's training loop does.)

    Args:
        interval: Steps between two collections.

    Raises:
        UserError: ``interval`` is below 1.
    """

    priority = 'VERY_LOW'

    def __init__(self, interval: int = 1000) -> None:
        if interval < 1:
            raise UserError(f'GarbageCollectionHook: interval={interval} has to be 1 or more')
        self.interval = interval
        self.was_enabled = False

    def before_train(self, runner: Runner) -> None:
        """Collect what building the run has left, and switch Python's own collection off."""
        self.was_enabled = gc.isenabled()
        gc.disable()
        gc.collect()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Collect, where it is time to."""
        if self.every_n_train_iters(runner, self.interval):
            gc.collect()

    def after_train(self, runner: Runner) -> None:
        """Switch Python's own collection on again."""
        if self.was_enabled:
            gc.enable()
