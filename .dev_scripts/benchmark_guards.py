#!/usr/bin/env python3
"""Time a training step with and without what guards it, in turns: non-finite updates, statistics, signals.

Example: ``python .dev_scripts/benchmark_guards.py --rounds 40``. The figure to read is the median of the paired ratios
with its 95 % interval, of 2000 bootstrap samples of the pairs.
"""

from __future__ import annotations

import argparse
import random
import statistics
import warnings

from benchmarking.entries import CONFIGS, Entry, Setting
from benchmarking.measure import measure
from mmengine.device import get_device

import mmimg2vec  # noqa: F401  (registers the parts)
from mmimg2vec.utils.config import load_config

GUARDS = ('mmimg2vec.FiniteGuardHook', 'mmimg2vec.LogHistoryHook', 'mmimg2vec.PreemptionHook')


def entries(config: str, **options: object) -> list[Entry]:
    """A config without the guards, and as it is.

    Args:
        config: Path or short name.
        **options: Merged into both.
    """
    hooks = [hook for hook in load_config(CONFIGS.get(config, config)).custom_hooks if hook.type not in GUARDS]
    bare = {'custom_hooks': hooks, 'optim_wrapper.skip_nonfinite': False}
    return [Entry('without guards', config, {**options, **bare}), Entry('with guards', config, options)]


def interval(values: list[float], samples: int = 2000) -> tuple[float, float]:
    """95 % interval of the median, by bootstrap."""
    rng = random.Random(0)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(samples))
    return medians[int(0.025 * samples)], medians[int(0.975 * samples)]


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--config', default='img2vec', help='pre-training config to time')
    parser.add_argument('--views', type=int, default=8, help='masked views per step')
    parser.add_argument('--rounds', type=int, default=40, help='pairs of steps')
    args = parser.parse_args()
    warnings.simplefilter('ignore')
    precision = 'float32' if get_device() == 'cpu' else 'shipped'
    bare, guarded = measure(entries(args.config), Setting(args.views, precision, ''), args.rounds)['step'].rows
    ratios = [own / its for own, its in zip(guarded.seconds, bare.seconds, strict=True)]
    low, high = interval(ratios)
    print(
        f'{bare.images} images, {sum(bare.seconds) / args.rounds:.3f} s a step without guards; with them '
        f'{statistics.median(ratios):.4f} of that (95 % interval {low:.4f} to {high:.4f}, {args.rounds} pairs, '
        f'{get_device()})'
    )


if __name__ == '__main__':
    main()
