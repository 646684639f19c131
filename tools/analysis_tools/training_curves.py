#!/usr/bin/env python3
"""Is a pre-training run healthy? Its loss, kNN, diversity and cosine, beside those of other runs.

    python tools/analysis_tools/training_curves.py [NAME=]WORK_DIR ... --out curves.png

Prints the first and the last value of each, too. docs/healthy.md says how to read them.
rate look like: docs/healthy.md.
"""

import argparse
import sys
from pathlib import Path

try:
    from mmimg2vec.chain.report.training_curves import draw_runs, read_runs, table_of_runs
    from mmimg2vec.engine.command_line import run, silence_mmengine
except ModuleNotFoundError as error:
    sys.exit(f'mmimg2vec: error: {sys.executable} has no {error.name}: take .venv/bin/python, made by `make venv`')


def parse_arguments() -> argparse.Namespace:
    """Define and parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('runs', nargs='+', metavar='[NAME=]WORK_DIR', help='folders of runs, one or more')
    parser.add_argument('--out', type=Path, default=Path('curves.png'), metavar='FILE', help='picture; %(default)s')
    return parser.parse_args()


def main() -> None:
    """Read, print the table, write the picture."""
    args = parse_arguments()
    silence_mmengine()
    named = [text.rpartition('=') for text in args.runs]
    runs = read_runs({name or Path(folder).name: Path(folder) for name, _, folder in named})
    print(table_of_runs(runs))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    print(f'\n{draw_runs(runs, args.out)}')


if __name__ == '__main__':
    run(main)
