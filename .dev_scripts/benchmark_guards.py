#!/usr/bin/env python3
"""Time a training step with and without what guards it, interleaved: non-finite updates, statistics, signals.

Example: ``python .dev_scripts/benchmark_guards.py --steps 15``. The figure to read is the median of the paired ratios.
"""

from __future__ import annotations

import argparse
import statistics
from types import SimpleNamespace

import torch
from benchmark import CONFIG, build, clock, make_batch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings

from mmimg2vec.engine.hooks import FiniteGuardHook, LogHistoryHook, PreemptionHook
from mmimg2vec.engine.optim_wrappers import AutocastOptimWrapper


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--config', default=CONFIG, help='pre-training config to time')
    parser.add_argument('--batch', type=int, default=8, help='images per step')
    parser.add_argument('--steps', type=int, default=15, help='pairs of steps')
    args = parser.parse_args()
    cfg = Config.fromfile(args.config)
    import_modules_from_strings(['mmimg2vec'])
    init_default_scope('mmpretrain')
    cfg.model.target_generator.teacher.pop('init_cfg', None)
    cfg.model.target_generator.random_weights = 0
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    model = build(cfg.model, device)
    dtype = 'bfloat16' if device.type == 'cuda' else 'float32'
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=device.type == 'cuda'
    )
    data = make_batch(args.batch, True, seed=0)
    hub = SimpleNamespace(log_scalars={}, runtime_info={})
    runner = SimpleNamespace(model=model, message_hub=hub, iter=0, epoch=0, hooks=[], work_dir='.', logger=None)
    hooks = [FiniteGuardHook(interval=50), LogHistoryHook(), PreemptionHook()]
    for hook in hooks:
        if hasattr(hook, 'before_train'):
            hook.before_train(runner)

    def step(guarded: bool) -> None:
        wrapper = runner.optim_wrapper = AutocastOptimWrapper(dtype=dtype, optimizer=optimizer, skip_nonfinite=guarded)
        for hook in hooks if guarded else ():
            hook.before_train_iter(runner, 0, data)
        outputs = model.train_step(dict(data), wrapper)
        for hook in hooks if guarded else ():
            hook.after_train_iter(runner, 0, data, outputs)

    for guarded in (False, True):
        step(guarded)
    pairs = []
    for number in range(args.steps):
        order = (False, True) if number % 2 else (True, False)
        seconds = {guarded: clock(lambda guarded=guarded: step(guarded), device) for guarded in order}
        pairs.append(seconds)
    ratios = [pair[True] / pair[False] for pair in pairs]
    plain = statistics.median(pair[False] for pair in pairs)
    quartiles = statistics.quantiles(ratios, n=4)
    print(
        f'{args.batch} images, {plain:.3f} s a step without guards; with them {statistics.median(ratios):.4f} of that '
        f'(quartiles {quartiles[0]:.4f} to {quartiles[2]:.4f}, {args.steps} pairs, {device})'
    )


if __name__ == '__main__':
    MMLogger.get_instance('guards', log_level='ERROR')
    main()
