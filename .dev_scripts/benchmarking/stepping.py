"""Real runners of mmengine, side by side in one process, that make a step when they are asked to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor, nn

from benchmarking.clock import Timeline
from benchmarking.entries import Entry, Setting, read
from mmimg2vec.utils.distributed import unwrapped


class SteppedLoop(EpochBasedTrainLoop):
    """mmengine's training loop, which hands itself over where it would train, and makes steps one by one.

    Everything around a step is that of a training run: model, optimizer wrapper, schedules and hooks.

    Args:
        runner: The runner.
        dataloader: Config of its training dataloader.
        name: Of the entry that the run is of.
        hand_over: Called with the loop between the hooks that begin and those that end training.
    """

    def __init__(self, runner: Runner, dataloader: dict, name: str, hand_over: Callable[[SteppedLoop], None]) -> None:
        super().__init__(runner, dataloader, runner.cfg.train_cfg.max_epochs)
        self.name = name
        self.hand_over = hand_over
        self.timeline = Timeline(torch.device(next(runner.model.parameters()).device))

    def run(self) -> nn.Module:
        """Begin, hand over, end."""
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        _watch(self.runner, self.timeline)
        self.batches = self._endless()
        self.batch = next(self.batches)
        self.hand_over(self)
        self.runner.call_hook('after_train')
        return self.runner.model

    @property
    def images(self) -> int:
        """Images of a step."""
        return len(self.batch['inputs'])

    @property
    def views(self) -> int:
        """Masked views of a step: one per mask, and one per image where the model masks by itself."""
        mask = self.batch.get('mask')
        return self.images if mask is None else mask.flatten(0, -2).shape[0]

    def step(self, load: bool = False) -> dict[str, float]:
        """Make a step and wait for the device.

        Args:
            load: Take the next batch of the dataloader; else the first one again, which costs nothing.

        Returns:
            Seconds of each part of the step, which are all of its time.
        """
        with self.timeline:
            if load:
                self.timeline.enter('data')
                self.batch = next(self.batches)
            self.timeline.enter('hooks')
            self.run_iter(self._iter, dict(self.batch))
        return self.timeline.seconds()

    def loaded(self, steps: int) -> list[dict[str, float]]:
        """Make steps whose batches are loaded, and wait for the device after each.

        What the workers have loaded ahead is taken before, so that the rest comes at their speed.

        Args:
            steps: How many.

        Returns:
            Seconds of each part of each step.
        """
        for _ in range(self.dataloader.num_workers * (self.dataloader.prefetch_factor or 0)):
            next(self.batches)
        return [self.step(load=True) for _ in range(steps)]

    def _endless(self) -> Iterator[dict[str, Any]]:
        for epoch in range(self._max_epochs):
            if hasattr(self.dataloader.sampler, 'set_epoch'):
                self.dataloader.sampler.set_epoch(epoch)
            yield from self.dataloader


def with_loops(
    entries: Sequence[Entry],
    setting: Setting,
    folder: Path,
    use: Callable[[list[SteppedLoop]], None],
    prepare: Callable[[Config], None] = lambda cfg: None,
) -> None:
    """Start a run of each entry, one inside the other, and use their loops while all of them are in training.

    Args:
        entries: What to start.
        setting: What they have in common.
        folder: For what the runs write.
        use: Called once, with the loops in the order of the entries.
        prepare: Called with each config, to change it in place.

    Raises:
        UserError: As :func:`~benchmarking.entries.read`.
    """
    loops: list[SteppedLoop] = []

    def start(loop: SteppedLoop | None = None) -> None:
        if loop is not None:
            loops.append(loop)
        if len(loops) == len(entries):
            use(loops)
            return
        entry = entries[len(loops)]
        cfg = read(entry, setting, folder / f'run{len(loops)}')
        prepare(cfg)
        runner = Runner.from_cfg(cfg)
        # In place of the loop that the runner would build of its config.
        runner._train_loop = SteppedLoop(runner, runner.cfg.train_dataloader, entry.name, start)
        runner.train()

    start()


class _Watched:
    """A part of the model as others call it: the same, but the timeline learns when it is at work.

    Not a hook of the module: torch.compile would compile it.
    """

    def __init__(self, module: nn.Module, before: Callable[..., None], after: Callable[[Any], None]) -> None:
        self._module, self._before, self._after = module, before, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._before(*args)
        result = self._module(*args, **kwargs)
        self._after(result)
        return result


def _watch(runner: Runner, timeline: Timeline) -> None:
    """Let the timeline know which part of a step begins.

    The backward pass goes through head, neck and encoder: each begins when the gradient of what it gave is there.
    """
    model = unwrapped(runner.model)

    def enter(part: str) -> Callable[..., None]:
        return lambda *_: timeline.enter(part)

    def at_gradient(tensor: Any, part: str) -> None:
        if isinstance(tensor, Tensor) and tensor.requires_grad:
            tensor.register_hook(enter(part))

    def before_neck(latents: Tensor, *_: Any) -> None:
        timeline.enter('neck')
        at_gradient(latents, 'encoder')

    def after_neck(prediction: Any) -> None:
        at_gradient(prediction, 'neck')
        timeline.enter('head')

    parts = {
        'data_preprocessor': (enter('data'), enter('encoder')),
        'target_generator': (enter('teacher'), enter('encoder')),
        'neck': (before_neck, after_neck),
    }
    for name, (before, after) in parts.items():
        if getattr(model, name, None) is not None:
            # Before the registered module, which stays where it is: names, devices and states are unchanged.
            model.__dict__[name] = _Watched(getattr(model, name), before, after)
    wrapper = runner.optim_wrapper
    for name, first, last in (
        ('backward', 'head', None),
        ('step', 'optimizer', None),
        ('update_params', None, 'hooks'),
    ):
        setattr(wrapper, name, _between(getattr(wrapper, name), timeline, first, last))


def _between(call: Callable, timeline: Timeline, first: str | None, last: str | None) -> Callable:
    def called(*args: Any, **kwargs: Any) -> Any:
        with contextlib.ExitStack() as stack:
            if first is not None:
                timeline.enter(first)
            if last is not None:
                stack.callback(timeline.enter, last)
            return call(*args, **kwargs)

    return called
