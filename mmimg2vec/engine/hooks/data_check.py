"""Data and model of a run are compared before it starts."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop

from mmimg2vec.datasets.checks import check_classes, check_dataset, check_mixed_classes, head_classes
from mmimg2vec.engine.data_preparation import count_text
from mmimg2vec.registry import HOOKS
from mmimg2vec.utils.distributed import on_main_process, unwrapped


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Ends a run before it starts where annotations do not match images, or classes do not match the head.

    Before training it looks at the training and validation datasets, before a test at the test dataset, on the main
    process, after they are built and before the model is initialized. See ``mmimg2vec.datasets.checks`` for what is
    looked at; datasets of other kinds and remote files are passed over.

    Args:
        max_files: Images per dataset whose files are looked for, evenly spread; 0 means all.
    """

    priority = 'VERY_HIGH'

    def __init__(self, max_files: int = 1000) -> None:
        self.max_files = max_files

    def before_run(self, runner: Runner) -> None:
        """Check the datasets of all loops that are about to run.

        Raises:
            UserError: Something does not match: what, where, and the cure.
        """
        notes = on_main_process(lambda: self._check(runner))
        if notes:
            runner.logger.info(f'data check: {" | ".join(notes)}')
        if isinstance(getattr(runner, '_test_loop', None), BaseLoop):  # before training its loop says it
            runner.logger.info(count_text(runner))

    def _check(self, runner: Runner) -> list[str]:
        loops = {name: getattr(runner, f'_{name}_loop') for name in ('train', 'val', 'test')}
        datasets = {
            f'{name}_dataloader': loop.dataloader.dataset
            for name, loop in loops.items()
            if isinstance(loop, BaseLoop)  # otherwise a config that this run does not use
        }
        model = unwrapped(runner.model)
        heads = head_classes(model)
        check_classes(datasets, heads)
        if 'train_dataloader' in datasets:
            check_mixed_classes(model, heads)
        num_classes = min(heads.values(), default=None)
        return [
            note
            for name, dataset in datasets.items()
            for note in check_dataset(dataset, name, self.max_files, num_classes)
        ]
