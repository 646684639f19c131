"""Speed of training, and how much of it the data costs."""

from __future__ import annotations

import time
from collections import deque

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmimg2vec.engine.hooks.logged_steps import log_interval
from mmimg2vec.registry import HOOKS


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Logs images per second of all ranks together and the share of time spent waiting for data.

    ``throughput/images_per_s`` and ``throughput/data_wait`` (0 to 1) are means over the last ``window`` iterations, on
    the clock of the main process: nothing here waits for the device. Other hooks' time, such as an evaluation between
    two epochs, does not count. Under gradient accumulation an image counts when it is processed. With K masks per image
    ``throughput/views_per_s``, the masked views that are trained on, stands beside them: K times the images.

    Args:
        window: Iterations averaged over.
    """

    # Ahead of LoggerHook.
    priority = 'NORMAL'

    def __init__(self, window: int = 50) -> None:
        self.history: deque[tuple[int, float, float]] = deque(maxlen=window)

    def before_train_epoch(self, runner: Runner) -> None:
        """Start the clock."""
        self.start = time.perf_counter()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Note that the batch is there."""
        self.waited = time.perf_counter() - self.start

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None):
        """Update the means."""
        now = time.perf_counter()
        images = len(data_batch['inputs']) * get_world_size()
        self.history.append((images, now - self.start, self.waited))
        self.start = now
        images, seconds, waited = (sum(column) for column in zip(*self.history, strict=True))
        runner.message_hub.update_scalar('train/throughput/images_per_s', images / seconds)
        mask = data_batch.get('mask')
        if mask is not None and mask.ndim == 3:
            views = mask.shape[1] * images / seconds
            runner.message_hub.update_scalar('train/throughput/views_per_s', views)
        runner.message_hub.update_scalar('train/throughput/data_wait', waited / seconds)


@HOOKS.register_module()
class GradNormHook(Hook):
    """Logs the norm of the gradients, measured only for the iterations that are logged.

    mmengine logs the norm where ``clip_grad`` is set, reading it from the device in every step. With
    ``mmimg2vec.AutocastOptimWrapper`` this hook logs it as ``grad_norm``, with and without clipping (before clipping).
    With other optimizer wrappers it does nothing. Under gradient accumulation the norm of the next update is logged.

    Args:
        interval: Iterations between two measurements; None takes that of ``LoggerHook``.
    """

    priority = 'NORMAL'

    def __init__(self, interval: int | None = None) -> None:
        self.interval = interval

    def before_train(self, runner: Runner) -> None:
        """Find the interval."""
        self.active = hasattr(runner.optim_wrapper, 'measure_grad_norm')
        if self.interval is None:
            self.interval = log_interval(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Ask for a measurement."""
        if self.active and self.every_n_inner_iters(batch_idx, self.interval):
            runner.optim_wrapper.measure_grad_norm = True

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None):
        """Log it, if the parameters have been updated."""
        wrapper = runner.optim_wrapper
        if self.active and wrapper.measure_grad_norm and wrapper.grad_norm is not None:
            runner.message_hub.update_scalar('train/grad_norm', wrapper.grad_norm)
            wrapper.measure_grad_norm = False
