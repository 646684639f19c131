"""A run resumed against another teacher is another run."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmimg2vec.errors import UserError
from mmimg2vec.models.algorithms import MaskedImageModel
from mmimg2vec.registry import HOOKS
from mmimg2vec.utils.distributed import unwrapped


@HOOKS.register_module()
class TeacherGuardHook(Hook):
    """Notes the fingerprint of the teacher's weights in each checkpoint and compares it at resume.

    The teacher's tensors are not in the checkpoint, so its file could have been replaced meanwhile. ``load_from``,
    which starts a new run, is not compared. Models without a teacher pass.
    """

    def __init__(self) -> None:
        self.loaded: str | None = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the fingerprint into the checkpoint's meta."""
        fingerprint = _fingerprint(runner)
        if fingerprint is not None:
            checkpoint['meta']['teacher_fingerprint'] = fingerprint

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember the fingerprint of the checkpoint."""
        meta = checkpoint.get('meta') or {}
        self.loaded = meta.get('teacher_fingerprint')

    def before_train(self, runner: Runner) -> None:
        """Compare, where the run was resumed.

        Raises:
            UserError: The checkpoint was trained against another teacher.
        """
        if not self.loaded or runner.iter == 0:  # load_from leaves it at zero
            return
        current = _fingerprint(runner)
        if current != self.loaded:
            raise UserError(
                f'the teacher has changed since the checkpoint was written (fingerprint {str(current)[:12]}, was '
                f'{str(self.loaded)[:12]}): restore its weights, or start a new run with load_from instead of resume'
            )


def _fingerprint(runner: Runner) -> str | None:
    model = unwrapped(runner.model)
    return model.target_generator.fingerprint if isinstance(model, MaskedImageModel) else None
