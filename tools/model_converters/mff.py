#!/usr/bin/env python3
"""Convert checkpoints of MFF and MAE between mmpretrain's names and those of this project.

    python tools/model_converters/mff.py IN OUT --to mmimg2vec|mmpretrain

Every entry of IN is kept, and the way back gives the same file again. A converted file is one to start from
(``load_from``), not one to resume: mmpretrain orders the optimizer's state differently.
"""

import argparse
import sys
from functools import partial

try:
    from mmimg2vec.checkpoint.convert import convert_file
    from mmimg2vec.checkpoint.layouts.table import LAYOUTS
    from mmimg2vec.engine.command_line import run
except ModuleNotFoundError as error:
    sys.exit(f'mmimg2vec: error: {sys.executable} has no {error.name}: take .venv/bin/python, made by `make venv`')

LAYOUT = LAYOUTS['mff']


def parse_arguments() -> argparse.Namespace:
    """Define and parse the command line."""
    parser = argparse.ArgumentParser(description='Convert checkpoints of MFF and MAE.')
    parser.add_argument('source', metavar='IN', help='checkpoint to read')
    parser.add_argument('target', metavar='OUT', help='checkpoint to write')
    parser.add_argument('--to', choices=('mmimg2vec', LAYOUT.whose), required=True, help='whose names OUT has')
    return parser.parse_args()


def main() -> None:
    """Convert the file that the command line names, and say what came out."""
    args = parse_arguments()
    renamed = convert_file(args.source, args.target, partial(LAYOUT.convert, to=args.to))
    note = f'{renamed} tensors renamed' if renamed else 'nothing to rename'
    print(f'{args.target} is written, {note}')


if __name__ == '__main__':
    run(main)
