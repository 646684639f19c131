#!/usr/bin/env python3
"""A chain over several seeds: what is the difference, and how large is the spread?

    python tools/experiment.py CHAIN [--seeds 0 1 2] [--out DIR]

Each seed is a chain of its own in OUT/seedN, with its own report; finished stages are skipped and interrupted ones
resumed, so the experiment may be stopped at any time and extended by more seeds. The means over the seeds go to
OUT/table.md, OUT/results.json and OUT/results.png; a chain's ``summary``, such as a plot of its own, is made last.
``make experiment`` runs it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

try:
    from mmimg2vec.chain import Launch, check_chain, read_chain, run_chain
    from mmimg2vec.chain.commands import add_launch_arguments, summary_command
    from mmimg2vec.chain.report import as_json, compare, draw_results, table, write_report
    from mmimg2vec.engine.command_line import run, silence_mmengine
    from mmimg2vec.errors import UserError
except ModuleNotFoundError as error:
    sys.exit(f'mmimg2vec: error: {sys.executable} has no {error.name}: take .venv/bin/python, made by `make venv`')


def parse_arguments() -> argparse.Namespace:
    """Define and parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('chain', nargs='?', default='configs/chains/img2vec_shapes.py')
    parser.add_argument('--out', type=Path, help='folder; work_dirs/experiment/CHAIN-NAME')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--table', action='store_true', help='only the table of what is finished')
    add_launch_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Run what is missing, and print the table of all.

    Raises:
        UserError: Something that a stage needs is not there, or a stage failed.
    """
    args = parse_arguments()
    silence_mmengine()
    out = args.out or Path('work_dirs/experiment', Path(args.chain).stem)
    launch = Launch(args.launcher, args.gpus, args.partition)
    failed, runs = [], []
    for seed in args.seeds:
        chain = read_chain(args.chain, str(out / f'seed{seed}'), seed, args.cfg_options)
        if not args.table:
            problems = check_chain(chain, launch, tuple(args.only))
            if problems:
                raise UserError(f'seed {seed}: {problems[0]}')
            print(f'seed {seed}', flush=True)
            failed += run_chain(chain, launch, tuple(args.only), report=lambda line: print(line, flush=True))
            write_report(chain)
        runs.append(compare(chain))
    text = f'{table(runs, chain.differences)}\n\nMean ± standard deviation over seeds {args.seeds}.'
    out.mkdir(parents=True, exist_ok=True)
    (out / 'table.md').write_text(text + '\n', encoding='utf-8')
    rows = [dict(row, seed=seed) for seed, run_ in zip(args.seeds, runs, strict=True) for row in as_json(run_)]
    (out / 'results.json').write_text(json.dumps(rows, indent=1) + '\n', encoding='utf-8')
    draw_results(runs, out / 'results.png')
    print(f'\n{text}\n\n{out}/table.md, {out}/results.json, {out}/results.png', flush=True)
    summary = summary_command(chain, out)
    if summary and subprocess.run(summary, check=False).returncode != 0:
        failed.append('the summary')
    if failed:
        raise UserError(f'not finished: {", ".join(failed)}; the same command goes on')


if __name__ == '__main__':
    run(main)
