"""What is logged is computed and read from the device in the steps that are logged, and in no others."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.runner import Runner
from torch import Tensor

from mmimg2vec.models.heads.token_heads import TokenHead
from mmimg2vec.registry import HOOKS
from mmimg2vec.utils.distributed import unwrapped


def logger_of(runner: Runner) -> LoggerHook | None:
    """The run's ``LoggerHook``."""
    return next((hook for hook in runner.hooks if isinstance(hook, LoggerHook)), None)


def log_interval(runner: Runner) -> int:
    """Steps between two lines of the log; 10 without a ``LoggerHook``."""
    logger = logger_of(runner)
    return 10 if logger is None else logger.interval


def is_logged(runner: Runner, batch_idx: int) -> bool:
    """Whether ``LoggerHook`` writes a line after this step: every ``interval`` steps, at ends of short epochs too."""
    logger = logger_of(runner)
    if logger is None:
        return (batch_idx + 1) % log_interval(runner) == 0
    loader = runner.train_dataloader
    at_end = logger.end_of_epoch(loader, batch_idx) and not (logger.ignore_last and len(loader) > logger.interval)
    return logger.every_n_inner_iters(batch_idx, logger.interval) or at_end


@HOOKS.register_module()
class LoggedStepsHook(RuntimeInfoHook):
    """mmengine's ``RuntimeInfoHook`` without a wait for the device in every step; the log stays the same.

    mmengine reads each of the dozen numbers that a model returns from the device as soon as they are there, and so
    waits for the step to end. This hook keeps them on the device and reads all of them at once: in the first step, in
    those that are logged, every ``LoggerHook.interval`` steps, and before a checkpoint is written. The histories are
    mmengine's, value for value, a few steps later.

    Quantities that are only watched (diversities, cosines, shares of the fused blocks) are computed in the logged steps
    alone: a line of the log shows their newest value anyway.

    It takes the place of mmengine's: ``default_hooks=dict(runtime_info=dict(type='mmimg2vec.LoggedStepsHook'))``. The
    project's choice.
    """

    def __init__(self) -> None:
        # Of each step since the last reading, what the model returned.
        self.unread: list[dict[str, Any]] = []
        self.heads: list[TokenHead] = []
        self.is_due = True

    def before_train(self, runner: Runner) -> None:
        """Find what can leave out the watched quantities."""
        super().before_train(runner)
        self.heads = [part for part in unwrapped(runner.model).modules() if isinstance(part, TokenHead)]
        self.started = False

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Say whether this step is logged."""
        super().before_train_iter(runner, batch_idx, data_batch)
        # The first one, so that the quantities stand in the log in the order that mmengine gives them.
        self.is_due = not self.started or is_logged(runner, batch_idx)
        self.started = True
        self._watch(self.is_due)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Keep what the model returned; read it where it is time to."""
        values = outputs or {}
        # Detached: a graph would be kept until the reading.
        self.unread.append({key: v.detach() if isinstance(v, Tensor) else v for key, v in values.items()})
        if self.is_due or self.every_n_train_iters(runner, log_interval(runner)):
            self.read(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Complete the histories: they are part of the checkpoint, and the step may not have been logged."""
        if self.unread:
            self.read(runner)
            checkpoint['message_hub'] = runner.message_hub.state_dict()

    def after_train_epoch(self, runner: Runner) -> None:
        """Complete the histories."""
        self.read(runner)
        self._watch(True)

    def _watch(self, watching: bool) -> None:
        for head in self.heads:
            head.watching = watching

    def read(self, runner: Runner) -> None:
        """Read everything from the device, in one transfer."""
        unread, self.unread = self.unread, []
        tensors = [value for step in unread for value in step.values() if isinstance(value, Tensor)]
        if tensors:
            numbers = iter(torch.stack([tensor.reshape(()).float() for tensor in tensors]).tolist())
            unread = [{k: next(numbers) if isinstance(v, Tensor) else v for k, v in step.items()} for step in unread]
        for step in unread:
            for key, value in step.items():
                runner.message_hub.update_scalar(f'train/{key}', value)
