#!/usr/bin/env python3
"""Classify images, detect objects in them or segment them: pictures and ``predictions.json``.

    python tools/inference.py CONFIG CHECKPOINT IMAGE_OR_FOLDER... --out DIR

The task is that of the config. Exit status: 0; 1 where an image could not be read or predicted for and was skipped; 2
for a mistake, or more than ``--max-share`` of the images skipped.
"""

import argparse
import sys

try:
    from mmimg2vec.engine.command_line import Options, run
    from mmimg2vec.inference import infer
    from mmimg2vec.utils.config import load_config
except ModuleNotFoundError as error:
    sys.exit(f'mmimg2vec: error: {sys.executable} has no {error.name}: take .venv/bin/python, made by `make venv`')


def parse_arguments() -> argparse.Namespace:
    """Define and parse the command line."""
    parser = argparse.ArgumentParser(description='Predict for images with a trained model.')
    parser.add_argument('config', help='config file of a classifier, detector or segmenter')
    parser.add_argument('checkpoint', help='checkpoint that it has trained')
    parser.add_argument('images', nargs='+', help='image files, and folders with images')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder of the results')
    parser.add_argument('--device', help='cpu, cuda:0, ...; an accelerator where there is one')
    parser.add_argument(
        '--score-threshold',
        type=float,
        default=0.3,
        metavar='S',
        help='detection: objects below are left out; %(default)s',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace files in DIR that are not of an earlier call')
    parser.add_argument(
        '--max-share',
        type=float,
        default=0.01,
        metavar='S',
        help='largest share of images that may fail; %(default)s, and a single one always',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Options,
        metavar='KEY=VALUE',
        help='change settings of the config',
    )
    return parser.parse_args()


def main() -> None:
    """Predict for the images that the command line names; name those that were skipped."""
    args = parse_arguments()
    result = infer(
        load_config(args.config, args.cfg_options),
        args.checkpoint,
        args.images,
        args.out,
        args.device,
        args.score_threshold,
        report=print,
        overwrite=args.overwrite,
        max_share=args.max_share,
    )
    for entry in result['skipped']:
        print(f'mmimg2vec: skipped: {entry["image"]}: {entry["reason"]}', file=sys.stderr)
    if result['skipped']:
        sys.exit(1)


if __name__ == '__main__':
    run(main)
