"""Steps of several runs in turns, and what follows of their times."""

from __future__ import annotations

import multiprocessing
import tempfile
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from benchmark_loader import write_images
from mmengine.device import get_device

from benchmarking.clock import PARTS, MatrixProduct, quartiles
from benchmarking.entries import Entry, Setting
from benchmarking.stepping import SteppedLoop, with_loops
from mmimg2vec.teacher_selection.cost import PeakMemory, macs_of

_DISTINCT = 48  # drawn image files; the others are links to them
_WARM_UP = 2


@dataclass
class Row:
    """What was measured of an entry.

    Attributes:
        name: Of the entry.
        images: Images of a step.
        views: Masked views of a step.
        seconds: Of each timed step.
        parts: Seconds of each part of each timed step.
        macs: Multiply-adds of a step, forward and backward, the teacher's included; None where they cannot be counted.
        memory_gib: Peak of a process that runs this entry alone; None where it was not measured.
    """

    name: str
    images: int
    views: int
    seconds: list[float] = field(default_factory=list)
    parts: list[dict[str, float]] = field(default_factory=list)
    macs: float | None = None
    memory_gib: float | None = None

    def ratio(self, other: Row) -> tuple[float, float, float]:
        """Quartiles of the time per masked view over that of another row, step by step."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return quartiles([own / self.views / (its / other.views) for own, its in pairs])

    def peak_share(self, rates: Sequence[float]) -> float | None:
        """Share of the multiply-adds per second that a matrix product reached in the same rounds, the median."""
        if self.macs is None:
            return None
        return quartiles([self.macs / s / rate for s, rate in zip(self.seconds, rates, strict=True)])[1]

    def summary(self, first: Row, rates: Sequence[float]) -> dict[str, Any]:
        """The figures of a row, as JSON has them."""
        step = quartiles(self.seconds)[1]
        return dict(
            name=self.name,
            images=self.images,
            views=self.views,
            step_s=step,
            images_per_s=self.images / step,
            views_per_s=self.views / step,
            ratio=self.ratio(first),
            gmac_per_view=None if self.macs is None else self.macs / self.views / 1e9,
            peak_share=self.peak_share(rates),
            memory_gib=self.memory_gib,
            parts={part: sum(p[part] for p in self.parts) / len(self.parts) for part in PARTS},
            seconds=self.seconds,
        )


@dataclass
class Table:
    """What was measured in one process: the rows, and the rates of the matrix product, one per round."""

    rows: list[Row]
    rates: list[float]

    def summary(self, over: Sequence[str] = ()) -> dict[str, Any]:
        """All figures; ratios over the first row, and over the rows that are named."""
        first = self.rows[0]
        others = [row for row in self.rows if row.name in over]
        rows = [row.summary(first, self.rates) for row in self.rows]
        for row, figures in zip(self.rows, rows, strict=True):
            figures['ratio_over'] = {other.name: row.ratio(other) for other in others}
        return dict(first=first.name, matrix_gmac_per_s=quartiles([r / 1e9 for r in self.rates]), rows=rows)


def draw_images(folder: Path, count: int) -> str:
    """Write image files: a few drawn ones, and links to them."""
    drawn, linked = folder / 'drawn', folder / 'images'
    drawn.mkdir()
    linked.mkdir()
    write_images(str(drawn), min(count, _DISTINCT))
    files = sorted(drawn.iterdir())
    for index in range(count):
        (linked / f'{index:06d}.jpg').hardlink_to(files[index % len(files)])
    return str(linked)


def in_turns(loops: Sequence[SteppedLoop], rounds: int, step: Callable[[SteppedLoop], list[dict[str, float]]]) -> Table:
    """Let the loops take turns, a matrix product among them, each round beginning with another.

    Args:
        loops: Of runs that are in training.
        rounds: How often each has its turn.
        step: A turn: gives the seconds of the parts of each step in it, whose mean counts.
    """
    device = loops[0].timeline.device
    product = MatrixProduct(device, torch.float32 if device.type == 'cpu' else torch.bfloat16)
    table = Table([Row(loop.name, loop.images, loop.views) for loop in loops], [])
    for number in range(rounds):
        for place in range(len(loops)):
            index = (place + number) % len(loops)
            steps = step(loops[index])
            mean = {part: sum(parts[part] for parts in steps) / len(steps) for part in PARTS}
            table.rows[index].parts.append(mean)
            table.rows[index].seconds.append(sum(mean.values()))
        table.rates.append(product.rate())
    return table


def measure(entries: Sequence[Entry], setting: Setting, rounds: int, end_to_end: int = 0) -> dict[str, Table]:
    """Measure steps of several entries in one process.

    Args:
        entries: What to measure; times are compared with the first one's.
        setting: What they have in common; its ``images`` are drawn here.
        rounds: Timed steps of each, on one batch.
        end_to_end: Steps of each turn of a second table, whose batches are loaded from files; 0 for none.

    Returns:
        ``step`` and, where asked for, ``end_to_end``.

    Raises:
        UserError: As :func:`~benchmarking.entries.read`.
    """
    tables: dict[str, Table] = {}

    def use(loops: list[SteppedLoop]) -> None:
        for loop in loops:
            for _ in range(_WARM_UP):
                loop.step()
        tables['step'] = in_turns(loops, rounds, lambda loop: [loop.step()])
        for row, loop in zip(tables['step'].rows, loops, strict=True):
            with _eager():
                row.macs = macs_of(loop.step)
        if end_to_end:
            tables['end_to_end'] = in_turns(loops, rounds, lambda loop: loop.loaded(end_to_end))
            for row, same in zip(tables['end_to_end'].rows, tables['step'].rows, strict=True):
                row.macs = same.macs

    views = max(entry.views or setting.views for entry in entries)
    loaded = (rounds + 1) * (end_to_end + 2 * setting.workers) if end_to_end else 0
    # More batches than steps: the last step of an epoch is a logged one.
    steps = _WARM_UP + rounds + 2 + loaded
    with tempfile.TemporaryDirectory() as folder:
        drawn = replace(setting, images=draw_images(Path(folder), views * steps))
        with_loops(entries, drawn, Path(folder), use)
    return tables


def _eager() -> AbstractContextManager:
    """What is compiled runs as it is written, where torch can do that: the counter sees no kernels of a compiler."""
    stance = getattr(torch.compiler, 'set_stance', None)
    return nullcontext() if stance is None else stance('force_eager')


def peak_memory(entry: Entry, setting: Setting) -> float | None:
    """Peak memory in GiB of a process of its own that builds an entry and makes three steps.

    On a GPU what is allocated there; on the CPU what the process grows by after its imports.

    Raises:
        UserError: As :func:`~benchmarking.entries.read`.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('spawn')) as pool:
        mib = pool.submit(_alone, entry, setting, torch.get_num_threads()).result()
    return None if mib is None else mib / 1024


def _alone(entry: Entry, setting: Setting, threads: int) -> float | None:
    warnings.simplefilter('ignore')  # as in the process that asks
    torch.set_num_threads(threads)
    found: list[float | None] = []

    def use(loops: list[SteppedLoop]) -> None:
        for _ in range(3):
            loops[0].step()
        found.append(memory.mib())

    with tempfile.TemporaryDirectory() as folder:
        drawn = replace(setting, images=draw_images(Path(folder), entry.views or setting.views))
        memory = PeakMemory(torch.device(get_device()))
        with_loops([entry], drawn, Path(folder), use)
    return found[0]
