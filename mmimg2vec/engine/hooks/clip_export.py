"""A CLIP trained here, as the file that target generators start from."""

from __future__ import annotations

import os.path as osp

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmimg2vec.checkpoint.serialization import to_serializable
from mmimg2vec.engine.hooks.backbone_export import backbone_state, run_meta
from mmimg2vec.errors import UserError
from mmimg2vec.models.algorithms import CLIP
from mmimg2vec.registry import HOOKS
from mmimg2vec.utils.distributed import unwrapped
from mmimg2vec.utils.write import save_atomically


@HOOKS.register_module()
class CLIPExportHook(Hook):
    """Writes ``WORK_DIR/clip.pth`` at the end of training, whole or not at all, in the layout of OpenAI's release.

    It holds ``state_dict`` (``visual.*`` and the text half) and ``meta``, loads without executing code and is taken up
    by ``mmimg2vec.CLIPTargetGenerator``.

    Args:
        filename: Name of the file in the run's folder.
    """

    priority = 'VERY_LOW'

    def __init__(self, filename: str = 'clip.pth') -> None:
        self.filename = filename

    def before_run(self, runner: Runner) -> None:
        """Refuse a model that is no CLIP before it is trained.

        Raises:
            UserError: The model is no ``mmimg2vec.CLIP``.
        """
        model = unwrapped(runner.model)
        if not isinstance(model, CLIP):
            raise UserError(f'{type(model).__name__} is no CLIP to export: remove CLIPExportHook from custom_hooks')

    def after_train(self, runner: Runner) -> None:
        """Write the file on the main process."""
        state = backbone_state(runner.model, prefix='')
        if not is_main_process():
            return
        state = CLIP.openai_state(state)
        path = osp.join(runner.work_dir, self.filename)
        save_atomically({'state_dict': state, 'meta': to_serializable(run_meta(runner))}, path)
        runner.logger.info(f'CLIP ({len(state)} tensors) is saved to {path}')
