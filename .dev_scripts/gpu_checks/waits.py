"""How often the host waits for the device in a training step, hooks included, by CUDA's own warnings."""

from __future__ import annotations

import collections
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from benchmarking.entries import Entry, Setting
from benchmarking.measure import draw_images
from benchmarking.stepping import SteppedLoop, with_loops

from gpu_checks.families import TINY_IMG2VEC

_NORMALIZATION = 'model.target_generator.normalization'
_STEPS = 4
# All options that were ever seen to make the host wait.
ENTRIES = (
    Entry('img2vec', 'img2vec'),
    Entry('img2vec-k4', 'img2vec', masks=4),
    Entry('targets normalized over the batch', 'img2vec', {_NORMALIZATION: 'batch'}),
    Entry('whitened targets', 'img2vec', {_NORMALIZATION: 'whiten'}),
    Entry('cae_v2', 'cae_v2'),
    Entry('mff', 'mff'),
)


def check_waits(device: torch.device, small: bool = False) -> dict[str, Any]:
    """Waits per step of each of :data:`ENTRIES`, and the lines of Python that they come from.

    Args:
        device: Where; on the CPU there is nothing to wait for, and the steps are made alone.
        small: One small network.

    Returns:
        ``waits`` (per entry, None on the CPU), ``places`` and ``summary``.
    """
    waits: dict[str, float | None] = {}
    places: dict[str, list[str]] = {}
    views = 4 if small else 64

    def use(loops: list[SteppedLoop]) -> None:
        for loop in loops:
            for _ in range(1 if small else 3):
                loop.step()
            lines = count(loop)
            waits[loop.name] = len(lines) / _STEPS if device.type == 'cuda' else None
            places[loop.name] = [f'{line}: {times}' for line, times in collections.Counter(lines).most_common(5)]

    with tempfile.TemporaryDirectory() as folder:
        # More batches than steps: the last step of an epoch is a logged one, in which numbers are read.
        setting = Setting(views, 'bfloat16', draw_images(Path(folder), 10 * views))
        for entry in (Entry('img2vec-k4', 'img2vec', TINY_IMG2VEC, masks=4),) if small else ENTRIES:
            with_loops([entry], setting, Path(folder) / entry.name, use)
    shown = ', '.join(f'{name} {"-" if value is None else f"{value:g}"}' for name, value in waits.items())
    failed = {name: f'{value:g} waits a step' for name, value in waits.items() if value}
    return dict(waits=waits, places=places, failed=failed, summary=f'waits per step: {shown}')


def count(loop: SteppedLoop) -> list[str]:
    """Make some steps and note each wait: file and line of the Python code that caused it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        for _ in range(_STEPS):
            batch = dict(loop.batch)
            if loop.timeline.device.type == 'cuda':
                torch.cuda.set_sync_debug_mode('warn')
            try:
                loop.run_iter(loop.iter, batch)
            finally:
                if loop.timeline.device.type == 'cuda':
                    torch.cuda.set_sync_debug_mode('default')
    waited = [warning for warning in caught if 'synchronizing CUDA operation' in str(warning.message)]
    return [f'{warning.filename}:{warning.lineno}' for warning in waited]
