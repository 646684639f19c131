"""Starts that end after one step: ``tools/train.py CONFIG --check`` and ``--reproduce FILE``."""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from rich.console import Console
from rich.table import Table

from mmimg2vec.checkpoint.newest import newest_checkpoint
from mmimg2vec.engine.construction_errors import construction_error, keep_trace, module_of, reason_of
from mmimg2vec.engine.disk_space import DiskSpace
from mmimg2vec.engine.hooks.finite_guard import loss_values
from mmimg2vec.engine.run_folder import check_free
from mmimg2vec.errors import UserError
from mmimg2vec.registry import HOOKS
from mmimg2vec.utils.distributed import unwrapped

# Images per process of the one step on a CPU, where the config's batch would take minutes.
_CPU_BATCH = 4


def prepare_check(cfg: Config, overwrite: bool = False) -> None:
    """Turn a config into one that starts, makes one step in a temporary folder, and ends with :class:`CheckHook`.

    All that a real start checks is checked: datasets and annotations of all splits, initial weights and teacher, and
    the checkpoint that it goes on from.

    Raises:
        UserError: The run's folder cannot be written, is in use, or holds the results of another run, or none of its
            checkpoints is whole.
    """
    work_dir = Path(cfg.work_dir)
    _check_writable(work_dir)
    check_free(work_dir, cfg.get('resume', False), overwrite)
    if cfg.get('resume') and cfg.get('load_from') is None:
        newest = newest_checkpoint(work_dir, lambda line: print(f'mmimg2vec: note: {line}', file=sys.stderr))
        cfg.resume, cfg.load_from = newest is not None, None if newest is None else str(newest)
    _make_one_step(cfg, dict(type='mmimg2vec.CheckHook', work_dir=str(work_dir)))


@contextmanager
def one_step(cfg: Config) -> Iterator[None]:
    """Around a start that ends after one step: its temporary folder goes, and what it raises is one line.

    Args:
        cfg: The config, as :func:`prepare_check` or :func:`prepare_reproduction` has changed it.

    Raises:
        UserError: Something else was raised; names the file with the trace.
        SystemExit: The step was made.
    """
    try:
        yield
    except (UserError, SystemExit):
        shutil.rmtree(cfg.work_dir, ignore_errors=True)
        raise
    except Exception as error:
        line = (
            construction_error(error)
            or f'{module_of(error) or "the run "}cannot make the first step: {reason_of(error)}'
        )
        raise UserError(f'{line}; the trace is in {keep_trace(error)}') from error


def prepare_reproduction(cfg: Config, file: str) -> None:
    """Turn a config into one that makes the step of a ``nonfinite_iter_N.pth`` again, for ``ReproduceHook``.

    Raises:
        UserError: There is no such file.
    """
    if not Path(file).is_file():
        raise UserError(
            f'--reproduce: no file {file}; FiniteGuardHook writes nonfinite_iter_N.pth into the folder of a run'
        )
    cfg.resume, cfg.load_from = True, file
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    _make_one_step(cfg, dict(type='mmimg2vec.ReproduceHook'))


def _make_one_step(cfg: Config, hook: dict[str, Any]) -> None:
    # By its name: mmengine 0.10.7 cannot write a config that holds a class.
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]
    cfg.work_dir = tempfile.mkdtemp(prefix='mmimg2vec-')
    cfg.log_level = 'WARNING'


def _check_writable(work_dir: Path) -> None:
    above = next(folder for folder in (work_dir, *work_dir.absolute().parents) if folder.exists())
    try:
        if not above.is_dir():
            raise NotADirectoryError(f'{above} is a file')
        with tempfile.NamedTemporaryFile(dir=above):
            pass
    except OSError as error:
        raise UserError(f'--work-dir {work_dir} cannot be written: {error}; name another one') from error


@HOOKS.register_module()
class CheckHook(Hook):
    """Prints the table after the first step, and ends.

    Args:
        work_dir: Folder of the run that would start.
    """

    priority = 'VERY_HIGH'

    def __init__(self, work_dir: str) -> None:
        self.work_dir = Path(work_dir)
        self.rows: list[tuple[str, str]] = []

    def before_train(self, runner: Runner) -> None:
        """Collect what is known without a step.

        Raises:
            UserError: There is no room for the checkpoints.
            SystemExit: The run that it goes on with is finished; with status 0.
        """
        self.rows += [*self._data(runner), *self._model(runner), *self._schedule(runner), *self._folder(runner)]
        self.start = time.monotonic()
        if runner.iter >= runner.max_iters:
            self.rows.append(('one step', 'none is left: the run is finished'))
            self._end(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Take a few of the images where all would take minutes."""
        if not torch.cuda.is_available():
            _shorten(data_batch, _CPU_BATCH)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Print, end.

        Raises:
            UserError: The loss is not finite.
            SystemExit: Otherwise, with status 0.
        """
        losses = loss_values(outputs)
        size = len(data_batch['inputs'])
        loss = losses.get('loss', float('nan'))
        self.rows.append(
            ('one step', f'{size} images in {time.monotonic() - self.start:.1f} s, loss {loss:.4f}, {_memory()}')
        )
        if not torch.isfinite(torch.tensor(loss)):
            raise UserError(
                f'the loss of the first batch is {loss}: look at the range of the images and the learning rate'
            )
        self._end(runner)

    def _end(self, runner: Runner) -> None:
        if is_main_process():
            table = Table('looked at', 'found', title=f'{runner.cfg.filename}: ready')
            for row in self.rows:
                table.add_row(*row)
            Console(soft_wrap=False).print(table)
        raise SystemExit(0)

    def _data(self, runner: Runner) -> list[tuple[str, str]]:
        rows = [('training images', f'{len(runner.train_dataloader.dataset)}')]
        if runner.val_loop is not None:
            rows.append(('validation images', f'{len(runner.val_dataloader.dataset)}'))
        return rows

    def _model(self, runner: Runner) -> list[tuple[str, str]]:
        model = unwrapped(runner.model)
        numbers = [p.numel() for p in model.parameters() if p.requires_grad]
        rows = [('trained', f'{sum(numbers) / 1e6:.2f} M parameters in {len(numbers)} tensors')]
        spec = getattr(getattr(model, 'target_generator', None), 'spec', None)
        if spec is not None:
            rows.append(('teacher', str(spec)))
        return rows

    def _schedule(self, runner: Runner) -> list[tuple[str, str]]:
        batch, processes = runner.train_dataloader.batch_sampler.batch_size, get_world_size()
        wrapper = runner.optim_wrapper
        counts = getattr(wrapper, '_accumulative_counts', 1)
        images = len(runner.train_dataloader.dataset)
        steps = images // (batch * processes)
        rows = [
            (
                'batch',
                f'{batch} images x {processes} processes x {counts} steps = {batch * processes * counts} an update',
            )
        ]
        if isinstance(wrapper, OptimWrapper):
            rates = sorted({group['initial_lr'] for group in wrapper.param_groups if 'initial_lr' in group})
            if rates:
                rows.append(
                    ('learning rate', f'{rates[-1]:.3g}' + (f' down to {rates[0]:.3g}' if len(rates) > 1 else ''))
                )
        rows.append(('schedule', schedule_text(runner)))
        if runner.cfg.train_cfg.get('max_epochs'):
            epochs = runner.cfg.train_cfg.max_epochs
            rows.append(('length', f'{epochs} epochs of {steps} steps, {epochs * steps} in all'))
        else:
            rows.append(
                ('length', f'{runner.max_iters} steps, {runner.max_iters * batch * processes / images:.1f} epochs')
            )
        return rows

    def _folder(self, runner: Runner) -> list[tuple[str, str]]:
        space = DiskSpace.of(runner, self.work_dir)
        space.check()
        found = sorted(path.name for path in self.work_dir.glob('*.pth')) if self.work_dir.is_dir() else []
        if runner._resume:
            found = [f'goes on from {runner._load_from} after {runner.iter} of {runner.max_iters} steps']
        return [
            ('folder', f'{self.work_dir}' + (f', which holds {", ".join(found[:4])}' if found else ', new')),
            ('disk', str(space)),
        ]


def _shorten(batch: Any, count: int) -> None:
    """Leave the first images in a batch, in place."""
    for key, value in batch.items():
        if isinstance(value, dict):
            _shorten(value, count)
        elif isinstance(value, list | tuple | torch.Tensor):
            batch[key] = value[:count]


def schedule_text(runner: Runner) -> str:
    """Where the schedules of a runner end, beside the end of its training; one that was set by hand may not fit."""
    schedulers = runner.param_schedulers
    flat = [s for part in schedulers.values() for s in part] if isinstance(schedulers, dict) else schedulers or []
    if not flat:
        return 'none: the learning rate is constant'
    texts = []
    for by_epoch, unit, total in ((True, 'epoch', runner.max_epochs), (False, 'step', runner.max_iters)):
        parts = [part for part in flat if part.by_epoch == by_epoch]
        if not parts:
            continue
        ends = [max(getattr(part, 'milestones', None) or [part.end]) for part in parts]
        names = ', '.join(dict.fromkeys(type(part).__name__ for part in parts))
        texts.append(f'{names} to {unit} {max(ends)} of {total}')
        if max(ends) > total:
            texts[-1] += ': too long for the training, which ends before the schedule does'
        elif max(ends) < total and not any(hasattr(part, 'milestones') for part in parts):
            texts[-1] += f': the learning rate stays as it is for the last {total - max(ends)} {unit}s'
    return '; '.join(texts)


def _memory() -> str:
    if torch.cuda.is_available():
        return f'at most {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB of GPU memory'
    return f'at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB of memory'
