#!/usr/bin/env python3
"""Find the images of a folder that cannot be read, before a training meets them.

    python tools/scan_images.py FOLDER... [--jobs N]

Reads every image as training does and prints a line ``PATH<TAB>REASON`` per broken one; progress goes to the standard
error. Exit status: 0; 1 where an image is broken; 2 for a mistake.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

try:
    import cv2

    from mmimg2vec.datasets.image_files import left_out_text, look_through
    from mmimg2vec.datasets.reading import unreadable
    from mmimg2vec.engine.command_line import run
    from mmimg2vec.errors import UserError, printable
except ModuleNotFoundError as error:
    sys.exit(f'mmimg2vec: error: {sys.executable} has no {error.name}: take .venv/bin/python, made by `make venv`')

_CHUNK = 32


def parse_arguments() -> argparse.Namespace:
    """Define and parse the command line."""
    parser = argparse.ArgumentParser(description='Find the images that cannot be read.')
    parser.add_argument('folders', nargs='+', metavar='FOLDER', type=Path, help='folders with images, at any depth')
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='processes; %(default)s')
    return parser.parse_args()


def scan(folder: Path, jobs: int) -> int:
    """Print the broken images of a folder; return their number.

    Raises:
        UserError: There is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise UserError(f'no folder {folder}: check the path')
    paths, left_out = look_through(folder)
    print(f'{len(paths)} images found in {folder}{left_out_text(left_out)}', file=sys.stderr)
    if not paths:
        raise UserError(f'no images in {folder}{left_out_text(left_out)}')
    broken = 0
    with ProcessPoolExecutor(max(1, jobs), initializer=cv2.setNumThreads, initargs=(0,)) as pool:
        for done, (path, reason) in enumerate(
            zip(paths, pool.map(unreadable, paths, chunksize=_CHUNK), strict=True), 1
        ):
            if reason is not None:
                broken += 1
                # A name may hold a line break; a broken image is one line all the same.
                print(printable(f'{path}'.replace('\n', '\\n')), ' '.join(reason.split()), sep='\t', flush=True)
            if done % 1000 == 0 or done == len(paths):
                print(f'{done} of {len(paths)} read, {broken} broken', file=sys.stderr)
    return broken


def main() -> None:
    """Scan the folders that the command line names."""
    args = parse_arguments()
    if sum(scan(folder, args.jobs) for folder in args.folders):
        sys.exit(1)


if __name__ == '__main__':
    run(main)
