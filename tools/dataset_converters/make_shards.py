#!/usr/bin/env python3
"""Put a folder of images into shards, large photographs shrunk: the fastest form to train from.

    python tools/dataset_converters/make_shards.py IMAGES OUT [--short-side 320] [--quality 90]

OUT then stands wherever a config names a folder of images (``IMG2VEC_IMAGES=OUT``, ``data_root=OUT``). A run that was
interrupted goes on with the same command. See docs/data.md.
"""

import argparse
import sys
from pathlib import Path

try:
    from mmimg2vec.datasets.shards import make_shards
    from mmimg2vec.datasets.shards.writing import ShardOptions, default_jobs
    from mmimg2vec.engine.command_line import run
except ModuleNotFoundError as error:
    sys.exit(f'mmimg2vec: error: {sys.executable} has no {error.name}: take .venv/bin/python, made by `make venv`')


def parse_arguments() -> argparse.Namespace:
    """Define and parse the command line."""
    default = ShardOptions()
    parser = argparse.ArgumentParser(
        description='Put a folder of images into tar shards with an index, large photographs shrunk.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('images', type=Path, help='folder of images, at any depth; folders inside are classes')
    parser.add_argument('out', type=Path, help='folder of the shards')
    parser.add_argument(
        '--short-side',
        type=int,
        default=default.short_side,
        help='images whose shorter side has more pixels are shrunk to it; none is enlarged; 0 keeps all as they are',
    )
    parser.add_argument('--quality', type=int, default=default.quality, help='of the JPEG files of shrunk images')
    parser.add_argument('--per-shard', type=int, default=default.per_shard, help='images in a shard')
    parser.add_argument(
        '--max-share', type=float, default=default.max_share, help='largest accepted share of unreadable images'
    )
    parser.add_argument('--jobs', type=int, default=default_jobs(), help='processes')
    return parser.parse_args()


def main() -> None:
    """Make the shards that the command line asks for."""
    args = parse_arguments()
    options = ShardOptions(args.short_side, args.quality, args.per_shard, args.max_share)
    make_shards(args.images, args.out, options, args.jobs, lambda line: print(line, file=sys.stderr, flush=True))


if __name__ == '__main__':
    run(main)
