"""The training loops: mmengine's, which first look whether data and model fit, and resume exactly."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sized
from typing import Any, cast

from mmengine.dataset import default_collate
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader

from mmimg2vec.datasets import DrawKey, SeededDataset
from mmimg2vec.datasets.checks import check_values
from mmimg2vec.engine.batches import check_batches
from mmimg2vec.engine.data_preparation import count_text, prepare_data, share_classes
from mmimg2vec.errors import UserError
from mmimg2vec.models.algorithms import MaskedImageModel
from mmimg2vec.registry import LOOPS
from mmimg2vec.utils.distributed import unwrapped

# Samples that are looked at before training starts: enough to see most that differ from one another.
_LOOKED_AT = 4


@LOOPS.register_module()
class CheckedTrainLoop(EpochBasedTrainLoop):
    """mmengine's ``EpochBasedTrainLoop``, whose mistakes show before training starts and in one line.

    A checkpoint may have been written inside an epoch: a resumed run enters that epoch at the batch after it, without
    loading those before (mmengine begins the epoch anew, and so trains too many steps).

    Args:
        runner: The runner.
        dataloader: Training dataloader or its config.
        **kwargs: ``max_epochs`` and the parent's other arguments.

    Raises:
        UserError: The dataset does not fill one batch on every process; or, when the loop starts, a batch is too small
            for a BatchNorm, or the first samples do not fit the model, or one another.
    """

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, **kwargs) -> None:
        # Here too, because foreign scripts, such as mmdet's, build our loops and nothing else of ours this early.
        prepare_data(runner, ('train', 'val'))
        super().__init__(runner, dataloader, **kwargs)
        share_classes(runner, self.dataloader.dataset)
        # Here rather than in a hook: a schedule in iterations is built before any hook runs, and fails of no steps.
        _check_fills_a_batch(self.dataloader)
        runner.param_schedulers = _without_empty(runner.param_schedulers, len(self.dataloader))
        self.batches = _LaterBatches.put_into(self.dataloader)

    def run(self):
        """Check some samples, then train."""
        model = unwrapped(self.runner.model)
        # Not while the loop is built: FlexibleRunner, which FSDP needs, has no model yet.
        check_batches(model, self.dataloader)
        dataset = self.dataloader.dataset
        if isinstance(model, MaskedImageModel) and isinstance(dataset, SeededDataset):
            count = min(_LOOKED_AT, len(dataset))
            samples = [dataset[DrawKey(index, 0, 0)] for index in range(count)]
            _check_alike(samples)
            collated = default_collate(samples)
            if isinstance(collated.get('inputs'), Tensor):
                check_values(dataset, collated['inputs'], model.target_generator.has_teacher, 'train_dataloader')
            batch = model.data_preprocessor(collated, False)
            if 'mask' in batch:
                model.check_inputs(batch['inputs'], batch['mask'])
        print_log(count_text(self.runner), 'current')
        if self._epoch >= self._max_epochs:
            _validate(self.runner)
        return super().run()

    def run_epoch(self) -> None:
        """Train an epoch, or what a resumed run has left of it."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        self.batches.start = self._iter - self._epoch * len(self.dataloader)
        for index, batch in enumerate(self.dataloader, self.batches.start):
            self.run_iter(index, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


@LOOPS.register_module()
class CheckedIterTrainLoop(IterBasedTrainLoop):
    """mmengine's ``IterBasedTrainLoop``, which a resumed run enters where it left it, at once.

    mmengine spins through the batches of all earlier iterations, loading them (its newer versions spare some samplers
    that), and starts the workers before the hooks have given the dataset their seed. Here iteration i takes batch
    ``i % B`` of epoch ``i // B``, where B is the number of batches per epoch: with a sampler that has ``set_epoch``,
    such as ``mmimg2vec.SeededSampler``, nothing is loaded twice, and an interrupted run ends with the weights of an
    uninterrupted one. Samplers without ``set_epoch`` are served as mmengine does (the project's choice).

    Args:
        runner: The runner.
        dataloader: Training dataloader or its config.
        **kwargs: ``max_iters`` and the parent's other arguments.

    Raises:
        UserError: The dataset does not fill one batch on every process; or, when the loop starts, a batch is too small
            for a BatchNorm.
    """

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, **kwargs) -> None:
        # Here too, because foreign scripts, such as mmdet's, build our loops and nothing else of ours this early.
        prepare_data(runner, ('train', 'val'))
        super().__init__(runner, dataloader, **kwargs)
        share_classes(runner, self.dataloader.dataset)
        _check_fills_a_batch(self.dataloader)
        if hasattr(getattr(self.dataloader.batch_sampler, 'sampler', None), 'set_epoch'):
            # mmengine 0.10.7 has started the workers already. They end with the last reference to their iterator;
            # that of persistent ones is also in this attribute of torch's.
            self.dataloader._iterator = None
            self.dataloader_iterator = EndlessBatches(self.dataloader)

    def run(self) -> nn.Module:
        """Go to the first batch that is not yet done, and train."""
        check_batches(unwrapped(self.runner.model), self.dataloader)
        if not isinstance(self.dataloader_iterator, EndlessBatches):
            return super().run()
        print_log(count_text(self.runner), 'current')
        if self._iter >= self._max_iters:
            _validate(self.runner)
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')  # the whole run, as in mmengine
        self.dataloader_iterator.seek(self._iter)
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
            self._decide_current_val_interval()
            due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
            if self.runner.val_loop is not None and self._iter >= self.val_begin and due:
                self.runner.val_loop.run()
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model


def _validate(runner: Runner) -> None:
    """Validate a run that is resumed with nothing left to train: it may have been killed before it did."""
    if runner.val_loop is not None:
        runner.val_loop.run()


class EndlessBatches:
    """The batches of a dataloader, epoch after epoch, from any of them on.

    The number of batches per epoch is ``len(dataloader)``; the sampler gives each epoch's order from its number alone.

    Args:
        dataloader: A dataloader whose sampler has ``set_epoch``.
    """

    def __init__(self, dataloader: DataLoader) -> None:
        self.dataloader = dataloader
        self.batches = _LaterBatches.put_into(dataloader)
        self.seek(0)

    def seek(self, position: int) -> None:
        """Continue with batch number ``position``, counted from 0 over all epochs; loads nothing yet."""
        self.epoch, self.batches.start = divmod(position, len(self.dataloader))
        self.iterator: Iterator | None = None

    def __iter__(self) -> EndlessBatches:
        return self

    def __next__(self) -> Any:
        """Load the next batch."""
        try:
            return next(self.iterator or self._begin_epoch())
        except StopIteration:
            self.epoch += 1
            return next(self._begin_epoch())

    def _begin_epoch(self) -> Iterator:
        self.batches.sampler.set_epoch(self.epoch)
        self.iterator = iter(self.dataloader)  # with several workers this asks for the first batches
        return self.iterator


class _LaterBatches:
    """A batch sampler that leaves out the first ``start`` batches of its next epoch, without loading them."""

    @classmethod
    def put_into(cls, dataloader: DataLoader) -> _LaterBatches:
        """Take the place of a dataloader's batch sampler, before its workers start."""
        batches = cls(cast(BatchSampler, dataloader.batch_sampler))
        # DataLoader refuses to have its parts exchanged: it may have handed them on. None of its workers runs yet.
        dataloader.__dict__['batch_sampler'] = batches
        return batches

    def __init__(self, batch_sampler: BatchSampler) -> None:
        self.batch_sampler = batch_sampler
        self.sampler: Any = batch_sampler.sampler  # has set_epoch
        self.batch_size = batch_sampler.batch_size
        self.drop_last = batch_sampler.drop_last
        self.start = 0

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[list]:
        # In a generator this happens when the first batch is taken: torch also makes iterators that it does not use.
        start, self.start = self.start, 0
        yield from itertools.islice(self.batch_sampler, start, None)


def _check_alike(samples: list[dict[str, Any]]) -> None:
    """Samples of other sizes cannot be stacked, and a loader's worker would say so in a stack trace.

    Raises:
        UserError: They differ in size.
    """
    for key, first in samples[0].items():
        shapes = {tuple(sample[key].shape) for sample in samples if isinstance(first, Tensor)}
        if len(shapes) > 1:
            sizes = ' and '.join(' x '.join(map(str, shape)) for shape in sorted(shapes)[:2])
            raise UserError(
                f'"{key}" of the training samples differ in size ({sizes}): let the pipeline bring all images to one '
                'size, and give the mask transform that size'
            )


def _check_fills_a_batch(dataloader: DataLoader) -> None:
    if len(dataloader) == 0:
        batch_size = cast(BatchSampler, dataloader.batch_sampler).batch_size
        raise UserError(
            f'{len(cast(Sized, dataloader.dataset))} images do not fill one batch of {batch_size} on every '
            'process: add images, or set a smaller train_dataloader.batch_size'
        )


def _without_empty(schedulers: Any, steps: int) -> Any:
    """Leave out what is shorter than a step, such as the warm-up of a short run on few images, which mmengine refuses.

    Args:
        schedulers: Configs of ``param_scheduler``; anything else comes back as it is.
        steps: Steps of an epoch.
    """
    if not isinstance(schedulers, list):
        return schedulers
    return [s for s in schedulers if not (isinstance(s, dict) and _is_empty(s, steps))]


def _is_empty(scheduler: dict[str, Any], steps: int) -> bool:
    counted = scheduler.get('convert_to_iter_based') and 'end' in scheduler
    return bool(counted) and int(scheduler['end'] * steps) <= int(scheduler.get('begin', 0) * steps)
