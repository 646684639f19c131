"""Draw the embedded data: ``python tools/dataset_converters/shapes.py --out data/shapes``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import cv2

from mmimg2vec.datasets.shapes import ShapesOptions, contact_sheet, write_shapes
from mmimg2vec.errors import UserError, install_excepthook


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    default = ShapesOptions()
    parser = argparse.ArgumentParser(
        description='Draw Shapes: the same scenes as ImageNet folders, COCO JSON and ADE20K folders.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--out', help='folder to be made; done already: left as it is')
    parser.add_argument('--scenes', type=int, default=default.scenes, help='training scenes (about 4.5 crops each)')
    parser.add_argument('--val-scenes', type=int, default=default.val_scenes, help='validation scenes')
    parser.add_argument('--seed', type=int, default=default.seed, help='which world')
    parser.add_argument('--size', type=int, default=default.size, help='pixels of a scene')
    parser.add_argument('--crop', type=int, default=default.crop, help='pixels of an ImageNet crop')
    parser.add_argument(
        '--context',
        type=float,
        default=default.context,
        help='largest side of a crop / side of the object',
    )
    parser.add_argument(
        '--min-visible',
        type=float,
        default=default.min_visible,
        help='share of an object that must be seen for it to get a crop',
    )
    parser.add_argument('--contact-sheet', help='also write a picture of the data, e.g. shapes.png')
    return parser.parse_args(arguments)


def _show_progress(done: int, total: int) -> None:
    every = max(1, total // 20)
    if sys.stderr.isatty() or done % every == 0 or done == total:
        end = '\r' if sys.stderr.isatty() and done < total else '\n'
        print(f'  {done}/{total} scenes', end=end, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Write what the command line asks for.

    Raises:
        UserError: Nothing is asked for, or an option does not fit.
    """
    install_excepthook()
    args = parse_args(arguments)
    if not (args.out or args.contact_sheet):
        raise UserError('nothing to do: give --out FOLDER, --contact-sheet PICTURE or both')
    options = ShapesOptions(
        scenes=args.scenes,
        val_scenes=args.val_scenes,
        seed=args.seed,
        size=args.size,
        crop=args.crop,
        context=args.context,
        min_visible=args.min_visible,
    )
    if args.out:
        start, before = time.time(), (Path(args.out) / 'shapes.json').exists()
        content = write_shapes(args.out, options, _show_progress)
        crops = content['crops']
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
        if not cv2.imwrite(str(path), contact_sheet(options)):
            raise UserError(f'--contact-sheet {path}: cannot be written there; give another path')
        print(f'{path}: contact sheet')


if __name__ == '__main__':
    main()
