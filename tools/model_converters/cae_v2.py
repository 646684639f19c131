#!/usr/bin/env python3
"""Convert checkpoints of CAE v2 between its authors' names (Atten4Vis/CAE) and those of this project.

    python tools/model_converters/cae_v2.py IN OUT --to mmimg2vec|authors [--part encoder] [--num-heads N]

The whole model is one to start from (``load_from``); ``--part encoder`` writes a ``backbone.pth`` that downstream
configs start from, or the ``encoder.`` of the authors. The way back gives the same tensors again, unused ones included.
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

LAYOUT = LAYOUTS['cae_v2']


def parse_arguments() -> argparse.Namespace:
    """Define and parse the command line."""
    parser = argparse.ArgumentParser(description='Convert checkpoints of CAE v2.')
    parser.add_argument('source', metavar='IN', help='checkpoint to read')
    parser.add_argument('target', metavar='OUT', help='checkpoint to write')
    parser.add_argument('--to', choices=('mmimg2vec', LAYOUT.whose), required=True, help='whose names OUT has')
    parser.add_argument(
        '--part',
        choices=('model', 'encoder'),
        default='model',
        help='the whole model (default), or the encoder alone',
    )
    parser.add_argument(
        '--num-heads',
        type=int,
        help="attention heads, for an encoder of none of the authors' sizes",
    )
    return parser.parse_args()


def main() -> None:
    """Convert the file that the command line names, and say what came out."""
    args = parse_arguments()
    convert = partial(LAYOUT.convert, to=args.to, part=args.part, num_heads=args.num_heads)
    convert_file(args.source, args.target, convert)
    print(f'{args.target} is written')


if __name__ == '__main__':
    run(main)
