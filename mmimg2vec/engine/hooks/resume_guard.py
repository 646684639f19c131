"""A resumed run has the arithmetic of the one that it goes on with."""

from __future__ import annotations

from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmimg2vec.errors import UserError
from mmimg2vec.registry import HOOKS

_KEY = 'arithmetic'
# What is compared: its name for a reader.
_NAMES = {
    'images': 'images in the training set',
    'batch': 'images per step, all processes together',
    'accumulation': 'steps per update',
    'max_iters': 'steps of the whole schedule',
}


@HOOKS.register_module()
class ResumeGuardHook(Hook):
    """Ends a resumed run whose data, batch or schedule is another one than its checkpoint was written with.

    mmengine goes on with the learning rate and the schedule of before, and finds another place in the epoch. The number
    of workers may change, and so may the number of processes where all together take as many images per step: the
    batches are the same then. The project's choice.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note the arithmetic beside the weights."""
        checkpoint['meta'][_KEY] = arithmetic(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare, where the run goes on from the checkpoint rather than starts from its weights.

        Raises:
            UserError: Something differs.
        """
        then = checkpoint.get('meta', {}).get(_KEY)
        if not runner._resume or then is None:
            return
        now = arithmetic(runner)
        different = [
            f'{then[key]} {name} then, {now[key]} now' for key, name in _NAMES.items() if then.get(key) != now[key]
        ]
        if different:
            raise UserError(
                f'this run cannot be resumed with other settings: {"; ".join(different)}. Resume it with those of '
                'before, or start a new run from its weights: another --work-dir and --cfg-options load_from=CHECKPOINT'
            )


def arithmetic(runner: Runner) -> dict[str, Any]:
    """What decides which images a step sees and how long the schedule is, as plain numbers."""
    loader = runner.train_dataloader
    return {
        'images': len(loader.dataset),
        'batch': loader.batch_sampler.batch_size * get_world_size(),
        'accumulation': getattr(runner.optim_wrapper, '_accumulative_counts', 1),
        'max_iters': runner.max_iters,
    }
