#!/usr/bin/env python3
"""Time training steps of any configs in one process, in turns: ours, and MAE, EVA, MILAN as mmpretrain ships them.

    python .dev_scripts/benchmark.py [ROW ...] [--config NAME CONFIG [KEY=VALUE ...]] ...

A step is what the training loop does with a batch: preprocessing, teacher, forward, backward, optimizer and hooks of a
real runner. Weights are random, images drawn. The figure to read is the ratio per masked view, over the first row,
with its quartiles: steps in turns see the same load of the machine. GMAC are counted, forward and backward, teacher
included; the share is that of a matrix product timed in the same rounds. On the CPU everything is float32.

Examples:
    python .dev_scripts/benchmark.py mae img2vec img2vec-k4 --memory --json work_dirs/speed.json --figure speed.png
    python .dev_scripts/benchmark.py mae mae-fused img2vec --over mae-fused
    python .dev_scripts/benchmark.py mae --config mine configs/my.py optim_wrapper.optimizer.fused=True --end-to-end 3
    python .dev_scripts/benchmark.py mae img2vec --growth batch tokens model --views 4
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import warnings
from pathlib import Path
from typing import Any


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('rows', nargs='*', help='prepared rows (default: mae img2vec img2vec-k4)')
    parser.add_argument(
        '--config',
        nargs='+',
        action='append',
        default=[],
        metavar=('NAME', 'CONFIG'),
        help='one more row: its name, a config (a path, a short name, or mmpretrain::PATH), options KEY=VALUE',
    )
    parser.add_argument('--over', nargs='+', default=[], help='more rows to compare with than the first')
    parser.add_argument('--views', type=int, help='masked views per step (default: 8 on the CPU, 256 on a GPU)')
    parser.add_argument('--rounds', type=int, default=6, help='timed steps of each row')
    parser.add_argument('--side', type=int, help="side of the images in pixels (default: the configs')")
    parser.add_argument(
        '--precision',
        choices=('shipped', 'float32', 'bfloat16'),
        help='of all rows (default: float32 on the CPU, on a GPU what each config ships with)',
    )
    parser.add_argument('--device', choices=('cpu', 'cuda'), help='(default: a GPU where there is one)')
    parser.add_argument('--threads', type=int, help="CPU threads (default: torch's)")
    parser.add_argument('--end-to-end', type=int, default=0, metavar='STEPS', help='also load batches, so many a turn')
    parser.add_argument('--workers', type=int, default=1, help='processes that load them')
    parser.add_argument('--memory', action='store_true', help='peak memory, in a process of its own per row')
    parser.add_argument('--growth', nargs='+', default=[], choices=('batch', 'tokens', 'model'), help='instead')
    parser.add_argument('--json', type=Path, help='write the figures there')
    parser.add_argument('--figure', type=Path, help='draw the parts of the steps, or the growth, there (PNG)')
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure what the command line asks for.

    Raises:
        UserError: There is no such row, config or option.
    """
    import torch
    from benchmarking import growth, report
    from benchmarking.entries import ROWS, Entry, Setting
    from benchmarking.measure import measure, peak_memory
    from mmengine.device import get_device

    import mmimg2vec  # noqa: F401  (registers the parts)
    from mmimg2vec.errors import UserError

    if args.threads:
        torch.set_num_threads(args.threads)
    names = args.rows or ([] if args.config else ['mae', 'img2vec', 'img2vec-k4'])
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        raise UserError(f'no row {unknown[0]}: there are {", ".join(ROWS)}; --config NAME CONFIG makes others')
    entries = [
        dataclasses.replace(entry, side=args.side)
        for entry in [*(ROWS[name] for name in names), *map(Entry.parse, args.config)]
    ]
    taken = [entry.name for entry in entries]
    if len(set(taken)) < len(taken) or set(args.over) - set(taken):
        raise UserError(f'rows are {", ".join(taken)}: give each a name of its own, and --over names of these')
    on_gpu = get_device() == 'cuda'
    setting = Setting(
        views=args.views or (256 if on_gpu else 8),
        precision=args.precision or ('shipped' if on_gpu else 'float32'),
        images='',
        workers=args.workers if args.end_to_end else 0,
    )
    result: dict[str, Any] = dict(
        machine=report.machine(), setting={**dataclasses.asdict(setting), 'rounds': args.rounds}, tables={}, growth=[]
    )
    if args.growth:
        for kind in args.growth:
            result['growth'] += growth.grow(entries, kind, setting, args.rounds)
        return result
    memory = {entry.name: peak_memory(entry, setting) for entry in entries if args.memory}
    for name, table in measure(entries, setting, args.rounds, args.end_to_end).items():
        for row in table.rows:
            row.memory_gib = memory.get(row.name)
        result['tables'][name] = table.summary(args.over)
    return result


def main() -> None:
    """Measure, print and write."""
    args = parse_args()
    if args.device == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''  # before torch looks; mmengine takes a GPU where there is one
    warnings.simplefilter('ignore')  # of libraries, about what is no mistake here
    from benchmarking import report

    from mmimg2vec.utils.write import write_text

    result = run(args)
    report.print_tables(result)
    for path in (args.json, args.figure):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
    if args.json:
        write_text(args.json, json.dumps(result, indent=1) + '\n')
    if args.figure:
        (report.draw_growth if args.growth else report.draw)(result, args.figure)


if __name__ == '__main__':
    from mmimg2vec.engine.command_line import run as run_script

    run_script(main)
