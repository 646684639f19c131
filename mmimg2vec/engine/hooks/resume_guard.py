"""A resumed run has the network and the arithmetic of the one that it goes on with."""

from __future__ import annotations

from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import FlexibleRunner, Runner
from torch import nn

from mmimg2vec.errors import UserError
from mmimg2vec.registry import HOOKS
from mmimg2vec.utils.distributed import unwrapped

_KEY = 'arithmetic'
# What a checkpoint holds beside the weights, where a run can go on from it.
_OF_A_RUN = ('meta', 'message_hub', 'optimizer')
_CURE = 'resume with the config of before, or name another --work-dir'
# What is compared: its name for a reader.
_NAMES = {
    'images': 'images in the training set',
    'batch': 'images per step, all processes together',
    'masks': 'masks per image',
    'accumulation': 'steps per update',
    'max_iters': 'steps of the whole schedule',
    'lr': 'learning rate',
    'weight_decay': 'weight decay',
}


@HOOKS.register_module()
class ResumeGuardHook(Hook):
    """Ends a resumed run whose network, data, batch or schedule is another than its checkpoint was written with.

    mmengine leaves what does not fit at its random values, goes on with the learning rate and the schedule of before,
    and finds another place in the epoch. The number of workers may change, and so may the number of processes where all
    together take as many images per step: the batches are the same then. The project's choice.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note the arithmetic beside the weights."""
        checkpoint['meta'][_KEY] = arithmetic(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare, where the run goes on from the checkpoint rather than starts from its weights.

        Raises:
            UserError: Something differs, or the file holds weights alone.
        """
        if not runner._resume:
            return
        lacking = [key for key in _OF_A_RUN if key not in checkpoint]
        if lacking:
            raise UserError(
                f'{runner._load_from} is no checkpoint of a run (no {lacking[0]}): go on from an epoch_N.pth or '
                'iter_N.pth, or start from its weights by --cfg-options load_from=FILE, without --resume'
            )
        if not isinstance(runner, FlexibleRunner):  # there the network is sharded
            _check_fits(unwrapped(runner.model), checkpoint['state_dict'], runner._load_from)
        then = checkpoint['meta'].get(_KEY)
        if then is None:
            return
        now, then = arithmetic(runner), {'masks': 1, **then}  # in older files nothing says that it is one
        different = [
            f'{then[key]} {name} then, {now[key]} now'
            for key, name in _NAMES.items()
            if key in then and key in now and then[key] != now[key]
        ]
        if different:
            raise UserError(
                f'this run cannot be resumed with other settings: {"; ".join(different)}. Resume it with those of '
                'before, or start a new run from its weights: another --work-dir and --cfg-options load_from=CHECKPOINT'
            )


def _check_fits(model: nn.Module, weights: dict[str, Any], source: str) -> None:
    """Load weights as mmengine does, which only warns.

    Raises:
        UserError: The network has tensors that are not among them, or have another shape.
    """
    try:
        missing = model.load_state_dict(weights, strict=False).missing_keys
    except RuntimeError as error:  # of shapes, also where it is not strict
        reason = ' '.join(str(error).split('\n')[1:2]).strip() or str(error)
        raise UserError(f'{source} is of another network ({reason}): {_CURE}') from error
    missing = sorted(set(missing) & set(model.state_dict()))  # a frozen teacher is in no checkpoint
    if missing:
        raise UserError(f'{source} is of another network (no {missing[0]}): {_CURE}')


def arithmetic(runner: Runner) -> dict[str, Any]:
    """What decides which images a step sees, how long the schedule is and where it starts, as plain numbers."""
    loader = runner.train_dataloader
    defaults = getattr(getattr(runner.optim_wrapper, 'optimizer', None), 'defaults', {})
    return {
        'images': len(loader.dataset),
        'batch': loader.batch_sampler.batch_size * get_world_size(),
        'masks': getattr(loader.dataset, 'masks_per_image', 1),
        'accumulation': getattr(runner.optim_wrapper, '_accumulative_counts', 1),
        'max_iters': runner.max_iters,
        **{key: float(defaults[key]) for key in ('lr', 'weight_decay') if key in defaults},
    }
