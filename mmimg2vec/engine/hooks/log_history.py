"""Logging whose cost does not grow with the length of a run."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmimg2vec.registry import HOOKS


@HOOKS.register_module()
class LogHistoryHook(Hook):
    """Keeps the last values of each logged quantity in memory and in checkpoints; the log file has the rest.

    mmengine keeps a million values per quantity and copies all of them in every step: at a million steps 36 ms per step
    and 224 MB per checkpoint (measured here, two CPU cores, 2026-11-25). Means over a longer window than ``length``,
    which no shipped config asks for, are means over ``length`` values.

    Args:
        length: How many values to keep. LoggerHook shows means over the last 10 by default.
    """

    priority = 'VERY_HIGH'

    def __init__(self, length: int = 1000) -> None:
        self.length = length

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Limit quantities that were logged for the first time in the step before."""
        for history in runner.message_hub.log_scalars.values():
            # A resumed history, or that of another hook's first step, may be longer; it is cut at its next value.
            history.max_length = self.length
