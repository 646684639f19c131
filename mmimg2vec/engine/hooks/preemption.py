"""A run that is told to go away leaves a checkpoint, and an exit status on which launchers start it again."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import distributed

from mmimg2vec.errors import UserError
from mmimg2vec.registry import HOOKS

#: Exit status of a run that was asked to stop and left a checkpoint: EX_TEMPFAIL of sysexits.h, "try again".
PREEMPTED = 75
#: Names a file that the main process writes when it ends so; torchrun has an exit status of its own.
MARKER = 'MMIMG2VEC_PREEMPTED'


def stop_when_asked(signals: tuple[str, ...] = ('SIGTERM', 'SIGUSR1')) -> None:
    """End with status 75 on these signals while a run is being built; :class:`PreemptionHook` takes them over then.

    Args:
        signals: Names of the signals.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        _mark()
        raise SystemExit(PREEMPTED)

    for name in signals:
        signal.signal(signal.Signals[name], stop)


def _mark() -> None:
    """Tell the launch script, where there is one."""
    if os.environ.get(MARKER):
        Path(os.environ[MARKER]).touch()


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Ends a run on SIGTERM or SIGUSR1 (Slurm, Kubernetes) with a checkpoint of the next step and exit status 75.

    One process that gets the signal is enough: the processes exchange a flag with each step, beside the step (over
    gloo, on the CPU), and read it a step later, so that all stop after the same one. In a validation, where nothing has
    changed since the last checkpoint, none is written. Ctrl-C stays what it is. The project's choice.

    Args:
        signals: Names of the signals.
    """

    # After the hook that writes checkpoints, so that a regular one is not written twice.
    priority = 'LOWEST'

    def __init__(self, signals: tuple[str, ...] = ('SIGTERM', 'SIGUSR1')) -> None:
        unknown = [name for name in signals if name not in signal.Signals.__members__]
        if unknown:
            raise UserError(f'PreemptionHook: there is no signal {unknown[0]!r}; name such as SIGTERM and SIGUSR1')
        self.signals = [signal.Signals[name] for name in signals]
        self.asked: str | None = None
        self.group: Any = None
        self.flag: torch.Tensor | None = None
        self.exchange: Any = None
        self.previous: dict[signal.Signals, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """Take over the signals."""
        if dist.is_distributed():
            self.group = distributed.new_group(backend='gloo')
        self.previous = {each: signal.signal(each, self._note) for each in self.signals}

    def after_train(self, runner: Runner) -> None:
        """Give the signals back."""
        for each, handler in self.previous.items():
            signal.signal(each, handler)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Write a checkpoint and end, if any process was asked to.

        Raises:
            SystemExit: With status 75.
        """
        if self._agreed():
            self._end(runner, save=True)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """End, if any process was asked to.

        Raises:
            SystemExit: With status 75.
        """
        if self.previous and self._agreed():
            self._end(runner, save=False)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = signal.Signals(number).name

    def _agreed(self) -> bool:
        """Whether any process was asked to stop, as all of them know since the step before."""
        if self.group is None:
            return self.asked is not None
        if self.exchange is not None:
            self.exchange.wait()
            if self.flag is not None and self.flag.item():
                return True
        self.flag = torch.tensor(int(self.asked is not None))
        self.exchange = distributed.all_reduce(self.flag, distributed.ReduceOp.MAX, self.group, async_op=True)
        return False

    def _end(self, runner: Runner, save: bool) -> None:
        for hook in runner.hooks if save else ():
            if hasattr(hook, 'save_now'):
                if not hook.save_now(runner):
                    return  # gradients are being accumulated: after one of the next steps
                hook.wait(runner)  # with the end of another process torchrun ends this one too
                break
        why = self.asked or 'another process was asked to stop'
        runner.logger.info(f'{why}: the run ends after step {runner.iter + 1}; --resume goes on from there')
        if dist.is_main_process():
            _mark()
        if self.group is not None:
            distributed.barrier(self.group)  # torchrun ends the others as soon as one of them is gone
        raise SystemExit(PREEMPTED)
