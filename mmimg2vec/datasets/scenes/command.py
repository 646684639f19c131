"""The command line that the worlds of scenes share."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from mmimg2vec.datasets.scenes.contact_sheet import contact_sheet
from mmimg2vec.datasets.scenes.layouts import SceneOptions, World, read_options, write_scenes
from mmimg2vec.errors import UserError


def scene_parser(description: str, default: SceneOptions) -> argparse.ArgumentParser:
    """A parser with the options of :class:`SceneOptions`, ``--out`` and ``--contact-sheet``."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add('--out', help='folder to be made; done already: left as it is')
    add('--scenes', type=int, default=default.scenes, help='training scenes (several crops each)')
    add('--val-scenes', type=int, default=default.val_scenes, help='validation scenes')
    add('--seed', type=int, default=default.seed, help='which world')
    add('--size', type=int, default=default.size, help='pixels of a scene')
    add('--crop', type=int, default=default.crop, help='pixels of an ImageNet crop')
    add('--context', type=float, default=default.context, help='largest side of a crop / side of the object')
    add(
        '--min-visible',
        type=float,
        default=default.min_visible,
        help='share of an object that must be seen for it to get a crop',
    )
    add('--contact-sheet', help='also write a picture of the data, e.g. sheet.png')
    return parser


def run_scene_command(args: argparse.Namespace, build: Callable[[dict], World]) -> None:
    """Write what the command line asks for, and say what was written.

    Args:
        args: Of :func:`scene_parser`.
        build: Makes the world of the options, by their names.

    Raises:
        UserError: Nothing is asked for, or an option does not fit.
    """
    given = {key: value for key, value in vars(args).items() if key not in ('out', 'contact_sheet')}
    if not (args.out or args.contact_sheet):
        raise UserError('nothing to do: give --out FOLDER, --contact-sheet PICTURE or both')
    world = build(given)
    options = world.options
    if args.out:
        start = time.time()
        before = read_options(Path(args.out).expanduser() / f'{world.name.lower()}.json') is not None
        crops = write_scenes(args.out, world, _show_progress)['crops']
        print(
            f'{args.out}: {options.scenes} + {options.val_scenes} scenes of {options.size} px, '
            f'{crops["train"]} + {crops["val"]} crops of {options.crop} px, '
            + ('there already' if before else f'drawn in {time.time() - start:.1f} s')
        )
        for folder, reader in (
            ('imagenet', 'mmpretrain ImageNet, CustomDataset'),
            ('coco', 'mmdet CocoDataset'),
            ('ade', 'mmseg BaseSegDataset, reduce_zero_label=True'),
        ):
            print(f'  {Path(args.out) / folder}  ({reader})')
    if args.contact_sheet:
        path = Path(args.contact_sheet).expanduser()
        if path.suffix.lower() not in ('.png', '.jpg', '.jpeg'):
            raise UserError(f'--contact-sheet {path}: give a name that ends in .png or .jpg')
        path.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), contact_sheet(world)):
            raise UserError(f'--contact-sheet {path}: cannot be written there; give another path')
        print(f'{path}: contact sheet')


def _show_progress(done: int, total: int) -> None:
    every = max(1, total // 20)
    if sys.stderr.isatty() or done % every == 0 or done == total:
        end = '\r' if sys.stderr.isatty() and done < total else '\n'
        print(f'  {done}/{total} scenes', end=end, file=sys.stderr, flush=True)
