"""Checkpoints that load without executing code and survive a run killed while writing them."""

from __future__ import annotations

import os
import os.path as osp

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmimg2vec.checkpoint.serialization import from_serializable, to_serializable
from mmimg2vec.checkpoint.write import move_into_place, write_text
from mmimg2vec.registry import HOOKS


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, writing tensors and plain containers only, and writing them whole.

    To be used in its place: ``default_hooks=dict(checkpoint=dict(type='mmimg2vec.SafeCheckpointHook', ...))``. The
    log histories are rebuilt when a checkpoint is loaded, so that a resumed run goes on with them.

    mmengine removes the oldest checkpoint, then writes the new one in place; a run killed in between leaves a damaged
    file as its latest. Here a regular checkpoint in a local folder is written beside, moved to its name, named in
    ``last_checkpoint``, and only then is the oldest removed. ``save_best`` files are written as mmengine does.

    Args:
        kwargs: Arguments of ``mmengine.hooks.CheckpointHook``.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Rewrite the checkpoint; this hook's priority makes it the last to see it."""
        for key in list(checkpoint):
            checkpoint[key] = to_serializable(checkpoint[key], key)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Rebuild the log histories."""
        if isinstance(checkpoint.get('message_hub'), dict):
            checkpoint['message_hub'] = from_serializable(checkpoint['message_hub'])

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        if '://' in str(self.out_dir):
            super()._save_checkpoint_with_step(runner, step, meta)
            return
        outdated = self._keep(runner, step)
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = osp.join(self.out_dir, filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        part = f'{filename}.part'
        runner.save_checkpoint(
            self.out_dir,
            part,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if not is_main_process():
            return
        move_into_place(osp.join(self.out_dir, part), self.last_ckpt)
        write_text(osp.join(runner.work_dir, 'last_checkpoint'), self.last_ckpt)
        for old in outdated:
            path = osp.join(self.out_dir, self.filename_tmpl.format(old))
            if osp.isfile(path):
                os.remove(path)

    def _keep(self, runner: Runner, step: int) -> list[int]:
        """Note that ``step`` is kept; return the steps that then are too many."""
        if self.max_keep_ckpts <= 0 or step in self.keep_ckpt_ids:
            return []
        steps = [*self.keep_ckpt_ids, step]
        self.keep_ckpt_ids.append(step)  # a deque that forgets its oldest entry
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        return steps[: -self.max_keep_ckpts]
