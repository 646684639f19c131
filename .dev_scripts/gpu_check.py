#!/usr/bin/env python3
"""Ten minutes on one GPU: whether everything runs there, how fast, how large, and where the host waits.

    python .dev_scripts/gpu_check.py [--json work_dirs/gpu_check.json] [--only PART ...]
    python .dev_scripts/gpu_check.py --device cpu --small     # a trial of the script itself, minutes on two cores

Every part is a process of its own with a time budget: one that fails, runs out of memory or of time is one line of the
table, and the others go on. The JSON is written after every part.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

# Part -> function, what it does, seconds.
PARTS: dict[str, tuple[str, str, int]] = {
    'operators': ('operators:check_operators', "mmcv's operators against the CPU", 45),
    'families': ('families:check_families', 'one bfloat16 step of each family', 105),
    'base': ('speed:check_base', 'ViT-B/16, 256 masked views', 130),
    'large': ('speed:check_large', 'ViT-L/16, 256 masked views', 110),
    'huge': ('memory:check_ddp', 'ViT-H/14, activation checkpointing, DDP', 60),
    'fsdp': ('memory:check_fsdp', 'ViT-H/14, FSDP', 50),
    'waits': ('waits:check_waits', 'waits of the host', 50),
    'loader': ('speed:check_loader', 'batches loaded from files', 50),
}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', choices=('cuda', 'cpu'), default='cuda')
    parser.add_argument('--small', action='store_true', help='tiny networks and batches: a trial of this script')
    parser.add_argument('--only', nargs='+', choices=PARTS, default=list(PARTS), help='these parts alone')
    parser.add_argument('--json', type=Path, default=Path('work_dirs/gpu_check.json'), help='where the figures go')
    parser.add_argument('--budget', type=float, help='times the seconds of every part (default: 1, 6 on the CPU)')
    parser.add_argument('--part', choices=PARTS, help=argparse.SUPPRESS)  # what a child process runs
    args = parser.parse_args()
    args.budget = args.budget or (6 if args.device == 'cpu' else 1)
    return args


def run_part(name: str, device: str, small: bool, path: Path) -> None:
    """Run one part in this process and write what it found."""
    warnings.simplefilter('ignore')
    import importlib

    import torch

    import mmimg2vec  # noqa: F401  (registers the parts)

    module, function = PARTS[name][0].split(':')
    check = getattr(importlib.import_module(f'gpu_checks.{module}'), function)
    path.write_text(json.dumps(check(torch.device(device), small)))


def run_alone(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Run a part in a process of its own.

    Returns:
        What it found, ``seconds``, and ``error``, one line, where it did not end well.
    """
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / 'found.json'
        command = [sys.executable, __file__, '--part', name, '--device', args.device, '--json', str(found)]
        environment = dict(os.environ)
        if args.device == 'cpu':
            environment['CUDA_VISIBLE_DEVICES'] = ''  # mmengine takes a GPU where there is one
        try:
            done = subprocess.run(
                command + ['--small'] * args.small,
                env=environment,
                capture_output=True,
                text=True,
                timeout=PARTS[name][2] * args.budget,
            )
            lines = done.stderr.strip().splitlines()
            error = None if done.returncode == 0 else f'exit status {done.returncode}: {lines[-1] if lines else ""}'
            log = lines[-30:]
        except subprocess.TimeoutExpired:
            error, log = f'not done after {PARTS[name][2] * args.budget:.0f} s', []
        result = json.loads(found.read_text()) if found.is_file() else {}
    result.update(seconds=time.perf_counter() - start)
    return result | (dict(error=error, log=log) if error else {})


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    """One word and one line for a part."""
    if 'error' in result:
        return 'failed', result['error']
    if result.get('failed'):
        return 'failed', '; '.join(f'{name}: {what}' for name, what in result['failed'].items())
    if result.get('missed'):
        return 'missed', f'{"; ".join(result["missed"])}. {result["summary"]}'
    return 'skipped' if result.get('skipped') else 'ok', result['summary']


def main() -> int:
    """Run the parts one after the other.

    Returns:
        The exit status: 1 where a part failed.
    """
    args = parse_args()
    if args.part:
        run_part(args.part, args.device, args.small, args.json)
        return 0
    from benchmarking.report import machine
    from rich.console import Console
    from rich.table import Table

    from mmimg2vec.utils.write import write_text

    args.json.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = dict(machine=machine(), device=args.device, small=args.small, parts={})
    table = Table('part', '', 's', '', title=f'{args.device}{", small" * args.small}, {results["machine"]["device"]}')
    for name in args.only:
        print(f'{name}: {PARTS[name][1]} ...', flush=True)
        results['parts'][name] = found = run_alone(name, args)
        word, line = verdict(found)
        table.add_row(name, word, f'{found["seconds"]:.0f}', line)
        write_text(args.json, json.dumps(results, indent=1) + '\n')
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return int(any(verdict(found)[0] == 'failed' for found in results['parts'].values()))


if __name__ == '__main__':
    sys.exit(main())
