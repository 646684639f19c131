#!/usr/bin/env python3
"""The demo's comparison over several seeds and, if wanted, longer: does Img2Vec beat MAE at the same budget?

Every finished run is appended to OUT/results.jsonl, and a second start goes on with what is missing, so the experiment
may be stopped at any time and extended by more seeds. ``make experiment`` runs it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from comparison import LABELS, make_shapes, run_arms, start_quietly, table
from demo_pictures import draw_accuracies

from mmimg2vec.engine.command_line import run


def parse_arguments() -> argparse.Namespace:
    """Define and parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', type=Path, default=Path('work_dirs/experiment'))
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--arms', nargs='+', choices=LABELS, default=list(LABELS))
    parser.add_argument(
        '--epochs-factor',
        type=float,
        default=1.0,
        help="multiplies the demo's epochs; 4 by the hour",
    )
    parser.add_argument(
        '--scenes', type=int, help='number of training scenes to draw (default: 1200)'
    )
    return parser.parse_args()


def read_results(path: Path) -> list[dict]:
    """Rows of a results file; none where there is no file yet."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> None:
    """Run what is missing, and print the table of all."""
    args = parse_arguments()
    start_quietly()
    make_shapes(args.scenes)
    out = args.out / f'x{args.epochs_factor:g}'
    out.mkdir(parents=True, exist_ok=True)
    results = out / 'results.jsonl'
    done = {(row['arm'], row['seed']) for row in read_results(results)}

    def append(row: dict) -> None:
        with results.open('a') as file:
            file.write(json.dumps(row) + '\n')

    for seed in args.seeds:
        missing = [arm for arm in args.arms if (arm, seed) not in done]
        if missing:
            print(f'seed {seed}')
            run_arms(missing, out / f'seed{seed}', seed, args.epochs_factor, append)
    rows = read_results(results)
    text = table(rows)
    (out / 'table.md').write_text(text + '\n')
    draw_accuracies(rows, out / 'accuracy.png')
    print(f'\n{text}\n\n{results}, {out}/table.md, {out}/accuracy.png')


if __name__ == '__main__':
    run(main)
