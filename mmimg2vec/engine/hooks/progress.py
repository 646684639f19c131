"""One short line of progress, for people who watch a run."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmimg2vec.registry import HOOKS


@HOOKS.register_module()
class ProgressHook(Hook):
    """Prints epoch, loss, images/s and the time left every few seconds, on the main process.

    On a terminal the line is overwritten, unless several runs share it; in a log each report is a line of its own.

    Args:
        seconds: Time between two reports.
        label: Printed first.
        overwrite: Whether a report takes the place of the last one on a terminal.
        stream: Where to; by default the terminal, also where standard output is redirected to a file.
    """

    priority = 'VERY_LOW'

    def __init__(
        self,
        seconds: float = 5.0,
        label: str = '',
        overwrite: bool = True,
        stream: TextIO | None = None,
    ) -> None:
        self.seconds, self.label, self.overwrite = seconds, label, overwrite
        self.stream = stream or sys.__stdout__

    def before_train(self, runner: Runner) -> None:
        """Start the clock."""
        self.started = self.reported = time.monotonic()
        self.first_iter = runner.iter

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs: dict | None = None
    ) -> None:
        """Report, where it is time to."""
        now = time.monotonic()
        last = runner.iter + 1 == runner.max_iters
        if not is_main_process() or (now - self.reported < self.seconds and not last):
            return
        self.reported = now
        done = runner.iter + 1 - self.first_iter
        pace = (now - self.started) / done
        left = int(pace * (runner.max_iters - runner.iter - 1))
        batch = runner.train_dataloader.batch_size
        losses = '  '.join(f'{k} {float(v):.3f}' for k, v in (outputs or {}).items() if k == 'loss')
        line = (
            f'  {self.label}epoch {runner.epoch + 1}/{runner.max_epochs}  {losses}  '
            f'{batch / pace:.0f} images/s  {left // 60}:{left % 60:02d} left'
        )
        if self.overwrite and self.stream.isatty():
            print(f'\r{line:<90}', end='\n' if last else '', file=self.stream, flush=True)
        else:
            print(line, file=self.stream, flush=True)
