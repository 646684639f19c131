"""Clocks: of a call, of the parts of a step, and of a matrix product, the measure of the machine."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

PARTS = ('data', 'teacher', 'encoder', 'neck', 'head', 'optimizer', 'hooks')


def synchronize(device: torch.device) -> None:
    """Wait for the device; on the CPU there is nothing to wait for."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def clock(function: Callable[[], Any], device: torch.device) -> float:
    """Seconds that a call takes, the device's work included."""
    synchronize(device)
    start = time.perf_counter()
    function()
    synchronize(device)
    return time.perf_counter() - start


class Timeline:
    """Which part of a step has the time: from :meth:`enter` to the next one it belongs to that part.

    On a GPU the moments are those of the device, by events in its stream, and the host does not wait for them.

    Args:
        device: Where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.marks: list[tuple[str, Any]] = []

    def __enter__(self) -> Timeline:
        synchronize(self.device)
        self.marks = []
        return self

    def __exit__(self, *_: object) -> None:
        self.enter('')
        synchronize(self.device)

    def enter(self, part: str) -> None:
        """From now on the time is that of this part."""
        if self.device.type == 'cuda':
            now = torch.cuda.Event(enable_timing=True)
            now.record()
        else:
            now = time.perf_counter()
        self.marks.append((part, now))

    def seconds(self) -> dict[str, float]:
        """Seconds of each part, in the order of :data:`PARTS`; together they are the time from first mark to last."""
        total = dict.fromkeys(PARTS, 0.0)
        for (part, start), (_, end) in itertools.pairwise(self.marks):
            total[part] += start.elapsed_time(end) / 1000 if self.device.type == 'cuda' else end - start
        return total


class MatrixProduct:
    """A product of square matrices: what the device reaches where nothing is in the way.

    Args:
        device: Where.
        dtype: Of the matrices.
        size: Rows and columns; None takes 2048 on the CPU, 8192 on a GPU.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype, size: int | None = None) -> None:
        self.device = device
        size = size or (8192 if device.type == 'cuda' else 2048)
        self.matrix = torch.randn(size, size, device=device).to(dtype)
        self.repeats = 10 if device.type == 'cuda' else 1
        self.macs = self.repeats * size**3
        self.rate()  # the first is slower

    def rate(self) -> float:
        """Multiply-adds per second."""

        def multiply() -> None:
            for _ in range(self.repeats):
                self.matrix @ self.matrix

        return self.macs / clock(multiply, self.device)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile; of a single value three times that."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method='inclusive')
    return low, middle, high
