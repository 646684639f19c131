"""A test scores a model that its config has trained, or nothing."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel
from mmengine.runner import Runner

from mmimg2vec.checkpoint.trained import fill_trained
from mmimg2vec.registry import HOOKS
from mmimg2vec.utils.distributed import unwrapped


@HOOKS.register_module()
class TrainedWeightsHook(Hook):
    """Ends a test whose checkpoint does not fill the whole model; mmengine would score random heads.

    ``tools/test.py`` registers it by itself.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Fill the model.

        Raises:
            UserError: A tensor is missing, of another shape, or has no place in the model.
        """
        model = unwrapped(runner.model)
        fill_trained(model.module if isinstance(model, BaseTTAModel) else model, checkpoint, runner._load_from)
