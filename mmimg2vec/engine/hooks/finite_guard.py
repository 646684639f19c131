"""Batches that give numbers that are not finite: left out, named, and the end of the run where they do not stop."""

from __future__ import annotations

import os.path as osp
from typing import Any

import torch
from mmengine.dist import get_rank, is_main_process
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from mmimg2vec.errors import UserError
from mmimg2vec.registry import HOOKS
from mmimg2vec.utils.distributed import unwrapped
from mmimg2vec.utils.json_lines import JsonLines

# From the first scale of torch's GradScaler, 2 ** 16, to the smallest that leaves float16 anything.
_HALVINGS = 40


@HOOKS.register_module()
class FiniteGuardHook(Hook):
    """Names the batches whose gradients are not finite, and ends a run that does nothing else.

    ``mmimg2vec.AutocastOptimWrapper`` leaves such an update out, on all processes alike; this hook restores the running
    statistics of BatchNorm that the batch has spoiled, counts (``train/skipped_updates``), and appends a line per
    update and process to ``WORK_DIR/skipped_updates.jsonl``: step, process, loss, paths of the images. After
    ``max_in_a_row`` such updates one after the other the run ends; its last checkpoint is from before, and
    ``nonfinite_iter_N.pth`` in the run's folder holds what reproduces the step (``tools/train.py CONFIG --reproduce
    FILE``).

    Nothing waits for the device in a step: flags are read from it every ``interval`` steps. On the CPU, where that
    costs nothing, they are read at once. The project's choice.

    Args:
        max_in_a_row: How many updates may be left out one after the other.
        interval: Steps between two looks on an accelerator; None takes that of ``LoggerHook``.
        filename: Name of the list.
    """

    # After the optimizer, ahead of checkpoints and loggers.
    priority = 'ABOVE_NORMAL'

    def __init__(
        self, max_in_a_row: int = 5, interval: int | None = None, filename: str = 'skipped_updates.jsonl'
    ) -> None:
        if max_in_a_row < 1:
            raise UserError(f'FiniteGuardHook: max_in_a_row={max_in_a_row} has to be 1 or more')
        self.max_in_a_row = max_in_a_row
        self.interval = interval
        self.filename = filename
        self.in_a_row = self.total = 0
        self.paths: list[str] = []  # since the last update
        # Of each update since the last look: its step, whether finite, loss, paths; `finite` and `loss` on the device.
        self.unread: list[tuple[int, Tensor, Tensor, list[str]]] = []

    def before_train(self, runner: Runner) -> None:
        """Find the interval, and the buffers that a batch can spoil."""
        if self.interval is None:
            loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
            self.interval = loggers[0].interval if loggers else 10
        norms = [m for m in unwrapped(runner.model).modules() if isinstance(m, _NormBase) and m.track_running_stats]
        self.buffers = [buffer for norm in norms for buffer in norm.buffers(recurse=False)]
        self.total = runner.message_hub.runtime_info.get('skipped_updates', 0) if runner.iter else 0

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Remember the running statistics."""
        self.before = [buffer.clone() for buffer in self.buffers]

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Restore what the batch has spoiled; look at the flags when it is time to.

        Raises:
            UserError: Too many updates in a row were left out.
        """
        loss = (outputs or {}).get('loss')
        if not isinstance(loss, Tensor):
            return
        # Of all processes; None in a step that only accumulates. Other optimizer wrappers have no such flag.
        updated = getattr(runner.optim_wrapper, 'finite', loss.isfinite())
        finite = loss.isfinite() if updated is None else updated & loss.isfinite()
        for buffer, before in zip(self.buffers, self.before, strict=True):
            buffer.copy_(torch.where(finite, buffer, before))
        self.paths += image_paths(data_batch)
        if updated is not None:
            self.unread.append((runner.iter, updated, loss.detach(), self.paths))
            self.paths = []
        if _is_on_host(loss) or self.every_n_train_iters(runner, self.interval):
            self.look(runner)

    def after_train(self, runner: Runner) -> None:
        """Judge the whole run.

        Raises:
            UserError: Half of its updates or more were left out.
        """
        self.look(runner)
        steps = getattr(runner.optim_wrapper, '_accumulative_counts', 1)  # of an update
        if self.total and 2 * self.total * steps >= runner.iter:
            raise UserError(
                f'{self.total} updates of {runner.iter} steps were left out because loss or gradients are not finite: '
                'nothing was learnt, whatever the score; lower optim_wrapper.optimizer.lr, or look at the images in '
                f'{osp.join(runner.work_dir, self.filename)}'
            )

    def after_train_epoch(self, runner: Runner) -> None:
        """Look at the flags before a checkpoint is written."""
        self.look(runner)

    def look(self, runner: Runner) -> None:
        """Read the flags from the device, and name what was left out; ``in_a_row`` counts the newest ones.

        Raises:
            UserError: Too many updates in a row were left out.
        """
        unread, self.unread = self.unread, []
        if not unread:
            return
        flags = torch.stack([step[1] for step in unread]).tolist()
        for (iteration, _, loss, paths), finite in zip(unread, flags, strict=True):
            self.in_a_row = 0 if finite else self.in_a_row + 1
            if finite:
                continue
            self.total += 1
            record = {'iter': iteration, 'process': get_rank(), 'loss': repr(loss.item()), 'images': paths}
            JsonLines(osp.join(runner.work_dir, self.filename)).append(record)
            runner.logger.warning(
                f'step {iteration}: loss or gradients are not finite, the update is left out ({self.total} so far; '
                f'images: {osp.join(runner.work_dir, self.filename)})'
            )
            runner.message_hub.update_info('skipped_updates', self.total)
            runner.message_hub.update_scalar('train/skipped_updates', self.total)
            # A loss scaler begins with a scale that is too large and halves it, update by update.
            scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
            if self.in_a_row >= self.max_in_a_row + (0 if scaler is None else _HALVINGS):
                self._end(runner)

    def _end(self, runner: Runner) -> None:
        name = f'nonfinite_iter_{runner.iter}.pth'
        if is_main_process():
            runner.save_checkpoint(runner.work_dir, name, meta=dict(epoch=runner.epoch, iter=runner.iter))
        raise UserError(
            f'{self.in_a_row} updates in a row, up to step {runner.iter}, were left out because loss or gradients are '
            f'not finite: look at the images in {self.filename}, or start a new run with a lower '
            'optim_wrapper.optimizer.lr, from an earlier checkpoint by --cfg-options load_from=CHECKPOINT. The '
            f'checkpoints in {runner.work_dir} are from before; the step again: python tools/train.py CONFIG '
            f'--reproduce {osp.join(runner.work_dir, name)}'
        )


def _is_on_host(value: Tensor) -> bool:
    """Whether reading a value waits for nothing."""
    return value.device.type == 'cpu'


def loss_values(outputs: dict[str, Any] | None) -> dict[str, float]:
    """What a training step returned, as numbers."""
    return {key: float(value.detach()) for key, value in (outputs or {}).items() if isinstance(value, Tensor)}


def image_paths(batch: Any) -> list[str]:
    """Paths of the images of a batch, of mmpretrain, mmdet and mmseg alike; empty where they do not say."""
    samples = batch.get('data_samples') if isinstance(batch, dict) else None
    paths = [getattr(sample, 'metainfo', {}).get('img_path') for sample in samples or ()]
    return [str(path) for path in paths if path is not None]


class StepReport:
    """Finds where numbers stop being finite in one training step.

    Args:
        model: Gets forward hooks on all its modules, and hooks on the gradients of its parameters.

    Attributes:
        outputs: Modules with an output that is not finite, in the order of the computation.
        gradients: Parameters with such a gradient.
    """

    def __init__(self, model: nn.Module) -> None:
        self.outputs: list[str] = []
        self.gradients: list[str] = []
        for name, module in model.named_modules():
            module.register_forward_hook(lambda _, __, output, name=name: self._look(name, output))
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.register_hook(lambda gradient, name=name: self._look(name, gradient, self.gradients))

    def _look(self, name: str, value: Any, found: list[str] | None = None) -> None:
        if isinstance(value, Tensor):
            if value.is_floating_point() and not value.isfinite().all():
                (self.outputs if found is None else found).append(name or 'the whole model')
        elif isinstance(value, dict):
            for item in value.values():
                self._look(name, item, found)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._look(name, item, found)

    def __str__(self) -> str:
        if not self.outputs and not self.gradients:
            return 'all outputs and gradients are finite: the step is not reproduced'
        parts = []
        if self.outputs:
            parts.append(f'first output that is not finite: {self.outputs[0]}')
        if self.gradients:
            parts.append(f'{len(self.gradients)} gradients are not finite, such as that of {self.gradients[-1]}')
        return '; '.join(parts)


@HOOKS.register_module()
class ReproduceHook(Hook):
    """Ends a run after one step, and says where its numbers stop being finite (``tools/train.py --reproduce``)."""

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Watch all modules.

        Raises:
            UserError: The file is of the end of a run.
        """
        if runner.iter >= runner.max_iters:
            raise UserError(
                f'--reproduce: {runner._load_from} is of the end of a run, no step follows; name a nonfinite_iter_N.pth'
            )
        self.report = StepReport(unwrapped(runner.model))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Print what was found, and end.

        Raises:
            SystemExit: Always, with status 0.
        """
        losses = loss_values(outputs)
        print(f'step {runner.iter}: {losses}')
        print(f'images: {", ".join(image_paths(data_batch))}')
        print(self.report)
        raise SystemExit(0)
