"""Checkpoints that load without executing code, survive a killed run, and are written inside epochs too."""

from __future__ import annotations

import copy
import os.path as osp
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmimg2vec.checkpoint.newest import checksum_path, first_nonfinite, write_checksum
from mmimg2vec.checkpoint.serialization import from_serializable, to_serializable
from mmimg2vec.engine.disk_space import KEPT_INSIDE, DiskSpace
from mmimg2vec.engine.hooks.finite_guard import FiniteGuardHook
from mmimg2vec.errors import UserError
from mmimg2vec.registry import HOOKS
from mmimg2vec.utils.write import save_atomically, write_text


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, writing tensors and plain containers only, whole or not at all, and more often.

    To be used in its place: ``default_hooks=dict(checkpoint=dict(type='mmimg2vec.SafeCheckpointHook', ...))``. The log
    histories are rebuilt when a checkpoint is loaded, so that a resumed run goes on with them.

    - A checkpoint in a local folder is written beside, brought to the disk, moved to its name, gets its SHA-256 beside
      it, is named in ``last_checkpoint``, and only then is the oldest removed. ``save_best`` files are written as
      mmengine does.
    - Inside an epoch, ``iter_N.pth`` is written every ``minutes`` or ``steps``; the newest two are kept. The loops of
      this project (``mmimg2vec.CheckedTrainLoop``) enter the epoch where it was left.
    - Where gradients are being accumulated, or an update was left out (``FiniteGuardHook``), a checkpoint waits for the
      next update that is made.
    - Weights that are not finite are never written: the run ends, and the checkpoints before stay.
    - A checkpoint that cannot be written (a full disk) is reported and training goes on, ``max_failures`` times in a
      row.

    Args:
        minutes: Most minutes of training between two checkpoints; None: no such limit. Not with sharded models.
        steps: Most steps between two checkpoints; None: no such limit.
        asynchronous: Write in a thread, from a copy in memory: training does not wait for the disk.
        max_failures: How many checkpoints in a row may fail to be written.
        kwargs: Arguments of ``mmengine.hooks.CheckpointHook``.

    Raises:
        UserError: An option is out of its range.
    """

    def __init__(
        self,
        minutes: float | None = 30,
        steps: int | None = None,
        asynchronous: bool = False,
        max_failures: int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (('minutes', minutes), ('steps', steps), ('max_failures', max_failures)):
            if value is not None and value <= 0:
                raise UserError(f'SafeCheckpointHook: {name}={value} has to be above 0, or None')
        self.minutes, self.steps = minutes, steps
        self.asynchronous = asynchronous
        self.max_failures = max_failures
        self.failures = 0
        self._waiting: int | None = None  # an epoch whose checkpoint waits until its gradients are applied
        self._held: dict | None = None  # what is to be written, on its way from mmengine's hands to ours
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def before_train(self, runner: Runner) -> None:
        """Look for room on the disk, and start the clock.

        Raises:
            UserError: There is none for a single checkpoint.
        """
        super().before_train(runner)
        self._note_saved(runner)
        if '://' in str(self.out_dir) or not is_main_process():
            return
        space = DiskSpace.of(runner, self.out_dir)
        space.check(count=1)
        try:
            space.check()
        except UserError as error:
            runner.logger.warning(str(error))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Rewrite the checkpoint; this hook's priority makes it the last to see it.

        Raises:
            UserError: It holds weights that are not finite.
        """
        for key in list(checkpoint):
            checkpoint[key] = to_serializable(checkpoint[key], key)
        _check_finite(checkpoint.get('state_dict', {}), runner)
        if self._held is not None:
            self._held.update(checkpoint)
            checkpoint.clear()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Rebuild the log histories.

        Raises:
            UserError: It holds weights that are not finite.
        """
        weights = checkpoint.get('state_dict', checkpoint)
        broken = first_nonfinite(weights if isinstance(weights, Mapping) else {})
        if broken is not None:
            raise UserError(f'{runner._load_from}: {broken} is not finite; take an earlier checkpoint')
        if isinstance(checkpoint.get('message_hub'), dict):
            checkpoint['message_hub'] = from_serializable(checkpoint['message_hub'])

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write a checkpoint inside an epoch, where it is time to; or those that count steps."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if self.by_epoch and not self.is_last_train_iter(runner) and (self._waiting or self._due(runner)):
            self.save_now(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Write the checkpoint of an epoch; where gradients wait, or were left out, after the next update."""
        due = self.every_n_epochs(runner, self.interval, self.save_begin)
        if self.by_epoch and due and not _can_be_saved(runner, runner.iter) and not self.is_last_train_epoch(runner):
            self._waiting = runner.epoch + 1
            return
        super().after_train_epoch(runner)

    def after_train(self, runner: Runner) -> None:
        """Wait for the last checkpoint to be on the disk."""
        self.wait(runner)
        super().after_train(runner)

    def save_now(self, runner: Runner) -> bool:
        """Write a checkpoint after the step that has just been made, where it can be gone on from.

        Returns:
            Whether it was written, or tried; False where gradients are being accumulated, or were left out.
        """
        if not _can_be_saved(runner, runner.iter + 1) or '://' in str(self.out_dir):
            return False
        meta = dict(epoch=runner.epoch, iter=runner.iter + 1)
        if self._waiting is None:
            self._save(runner, f'iter_{runner.iter + 1}.pth', meta, by_epoch=False)
        else:
            epoch, self._waiting = self._waiting, None
            self._save_checkpoint_with_step(runner, epoch, meta)
        return True

    def _due(self, runner: Runner) -> bool:
        late = self.minutes is not None and time.monotonic() - self._saved_at >= 60 * self.minutes
        return late or (self.steps is not None and runner.iter + 1 - self._saved_iter >= self.steps)

    def _note_saved(self, runner: Runner, iteration: int | None = None) -> None:
        self._saved_at, self._saved_iter = time.monotonic(), runner.iter if iteration is None else iteration

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        if '://' in str(self.out_dir):
            super()._save_checkpoint_with_step(runner, step, meta)
            return
        outdated = [self.filename_tmpl.format(old) for old in self._keep(runner, step)]
        self._save(runner, self.filename_tmpl.format(step), meta, self.by_epoch, outdated)

    def _save(self, runner: Runner, name: str, meta: dict, by_epoch: bool, outdated: list[str] | None = None) -> None:
        self.wait(runner)
        self._note_saved(runner, meta['iter'])
        self.last_ckpt = osp.join(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        self._held = {}
        try:
            # mmengine collects what belongs into a checkpoint and writes an empty one; it writes in place, and twice.
            runner.save_checkpoint(
                self.out_dir,
                f'{name}.part',
                self.file_client_args,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
        except OSError as error:
            self._error = error
        checkpoint, self._held = self._held, None
        if not is_main_process():
            return
        if not self._error:
            work = (checkpoint, runner.work_dir, name, outdated or [])
            if self.asynchronous:
                self._thread = threading.Thread(target=self._write, args=(_copied(checkpoint), *work[1:]))
                self._thread.start()
                return
            self._write(*work)
        self.wait(runner)

    def _write(self, checkpoint: dict, work_dir: str, name: str, outdated: list[str]) -> None:
        path = Path(self.out_dir, name)
        try:
            checksum_path(path).unlink(missing_ok=True)  # that of an older file of this name would not fit
            save_atomically(checkpoint, path)
            write_checksum(path, checkpoint['meta']['iter'])
            write_text(osp.join(work_dir, 'last_checkpoint'), str(path))
            inner = sorted(path.parent.glob('iter_*.pth'), key=lambda old: old.stat().st_mtime) if self.by_epoch else []
            # Of those inside an epoch two are kept: an update that ruins the weights shows in the step after it.
            inner = inner[:-KEPT_INSIDE] if name.startswith('iter_') else inner
            for old in (*outdated, *(old.name for old in inner)):
                path.with_name(old).unlink(missing_ok=True)
                checksum_path(path.with_name(old)).unlink(missing_ok=True)
            self.failures = 0
        except (OSError, UserError) as error:
            self._error = error

    def wait(self, runner: Runner) -> None:
        """Wait for a checkpoint on its way to the disk, and count what failed.

        Raises:
            UserError: Too many checkpoints in a row could not be written.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is None:
            return
        self.failures += 1
        Path(f'{self.last_ckpt}.part').unlink(missing_ok=True)
        reason = ' '.join(str(error.__cause__ or error).split())
        if self.failures >= self.max_failures:
            raise UserError(
                f'{self.last_ckpt} cannot be written ({reason}), {self.failures} checkpoints in a row: make room and '
                'go on with --resume from the last one that was'
            ) from error
        runner.logger.error(
            f'{self.last_ckpt} cannot be written ({reason}): training goes on ({self.failures} of {self.max_failures} '
            'failures in a row)'
        )

    def _keep(self, runner: Runner, step: int) -> list[int]:
        """Note that ``step`` is kept; return the steps that then are too many."""
        if self.max_keep_ckpts <= 0 or step in self.keep_ckpt_ids:
            return []
        steps = [*self.keep_ckpt_ids, step]
        self.keep_ckpt_ids.append(step)  # a deque that forgets its oldest entry
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        return steps[: -self.max_keep_ckpts]


def _can_be_saved(runner: Runner, iterations: int) -> bool:
    """Whether the gradients of so many steps are all in the weights, and the newest of them was finite.

    An update that was left out may be the first sign of weights that the one before has ruined.
    """
    if iterations >= runner.max_iters:
        return True
    guards = [hook for hook in runner.hooks if isinstance(hook, FiniteGuardHook)]
    for guard in guards:
        guard.look(runner)
    is_applied = iterations % getattr(runner.optim_wrapper, '_accumulative_counts', 1) == 0
    return is_applied and not any(guard.in_a_row for guard in guards)


def _check_finite(state: Mapping[str, Any], runner: Runner) -> None:
    broken = first_nonfinite(state)
    if broken is not None:
        raise UserError(
            f'step {runner.iter}: {broken} is not finite. Such weights are never saved, nor for --reproduce, as any '
            f'batch fails on them. The checkpoints in {runner.work_dir} are from before: --resume makes the same steps '
            'again; for others start a new run with a lower optim_wrapper.optimizer.lr, from one of them by '
            '--cfg-options load_from=CHECKPOINT and another --work-dir'
        )


def _copied(value: Any) -> Any:
    """Tensors of nested containers as they are now: the next step changes them in place."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        copied = copy.copy(value)  # with the attribute of a state dict that holds the versions of its modules
        copied.update((key, _copied(item)) for key, item in value.items())
        return copied
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(item) for item in value)
    return value
