#!/usr/bin/env python3
"""The whole of pre-training in minutes, on embedded images, without a download.

Draws the Shapes images, trains a teacher on them without labels, pre-trains a small ViT with MAE (pixel targets) and
with Img2Vec (the teacher's features) at the same budget, and measures what each backbone has learnt by kNN and linear
accuracy. ``make demo`` runs it; a second run goes on where the first stopped.

Writes OUT/summary.md, OUT/results.json, OUT/accuracy.png and OUT/features.png.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from comparison import LABELS, make_shapes, run_arms, start_quietly, table
from demo_pictures import draw_accuracies, draw_features

from mmimg2vec.engine.command_line import run

ARMS = ('random', 'teacher', 'mae', 'img2vec')


def parse_arguments() -> argparse.Namespace:
    """Define and parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/demo'), help='folder of the results'
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--epochs-factor', type=float, default=1.0, help='multiplies the epochs of all stages'
    )
    parser.add_argument(
        '--scenes', type=int, help='number of training scenes to draw (default: 1200)'
    )
    return parser.parse_args()


def main() -> None:
    """Run all stages and write the summary."""
    args = parse_arguments()
    start = time.monotonic()
    start_quietly()
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'
    print(f'Img2Vec demo on {where}: some minutes on two cores, then a summary')
    make_shapes(args.scenes)
    folder = args.out / f'seed{args.seed}'
    rows: list[dict] = []
    run_arms(ARMS, folder, args.seed, args.epochs_factor, rows.append)
    rows.sort(key=lambda row: list(LABELS).index(row['arm']))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / 'results.json').write_text(json.dumps(rows, indent=2))
    draw_accuracies(rows, args.out / 'accuracy.png')
    draw_features(folder, args.seed, args.out / 'features.png')
    summary = (
        '# Demo: what a small ViT learns from unlabelled images\n\n'
        f'{table(rows)}\n\n'
        'kNN and linear accuracy of the frozen backbone on the labelled validation crops of Shapes (10 classes, chance '
        '10 %), read from the class token and from the mean of the patches; MAE and Img2Vec train the same student for the same steps on the '
        f'same crops. One seed: `make experiment` repeats it over several. Seed {args.seed}, {where}, '
        f'{torch.get_num_threads()} threads, {time.strftime("%Y-%m-%d")}.\n\n'
        '![accuracy](accuracy.png)\n\n'
        "Image, what the student sees, the teacher's features and the student's predictions (first principal components "
        'as colours, hidden patches only):\n\n![features](features.png)\n'
    )
    (args.out / 'summary.md').write_text(summary)
    print(f'\n{table(rows)}\n')
    print(
        f'{(time.monotonic() - start) / 60:.1f} minutes. Read {args.out}/summary.md; pictures beside it.'
    )


if __name__ == '__main__':
    run(main)
