#!/usr/bin/env python3
"""Choose a teacher on images of your own: token diversity, other measures and cost of several, in tables.

    python tools/analysis_tools/token_diversity.py IMAGES...
        --teachers dino_resnet50 timm:vit_small_patch16_224.dino@FILE

A teacher is a config file (with ``target_generator`` or ``model.target_generator``), the name of one in
``configs/_base_/teachers``, ``timm:NAME``, ``transformers:FOLDER`` or the ``backbone.pth`` of a run; ``@FILE`` behind
it names other weights, ``@random`` stands for random ones, ``NAME=`` before it is its name in the table. Exit status:
0; 1 where an image or a teacher was skipped; 2 for a mistake.
"""

import argparse
import sys

try:
    import torch

    from mmimg2vec.engine.command_line import run, silence_mmengine
    from mmimg2vec.errors import UserError
    from mmimg2vec.teacher_selection import compare
    from mmimg2vec.teacher_selection.measurement import Settings
    from mmimg2vec.teacher_selection.measures import MEASURES
    from mmimg2vec.teacher_selection.table import format_measures, format_table
except ModuleNotFoundError as error:
    sys.exit(f'mmimg2vec: error: {sys.executable} has no {error.name}: take .venv/bin/python, made by `make venv`')


def parse_arguments() -> argparse.Namespace:
    """Define and parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add = parser.add_argument
    add('images', nargs='+', help='folders with images, and image files')
    add('--teachers', nargs='+', required=True, metavar='TEACHER', help='configs, names, files')
    add('--out', default='work_dirs/token_diversity', metavar='DIR', help='%(default)s')
    add('--max-images', type=_positive, metavar='N', help='spread over the folder; all')
    add('--img-size', type=_positive, default=224, metavar='PX', help='%(default)s')
    add(
        '--patch-size',
        type=_positive,
        default=16,
        metavar='PX',
        help="the student's, on whose grid the tokens are measured; %(default)s",
    )
    add('--own-grid', action='store_true', help="the teachers' own grids instead")
    add(
        '--raw',
        action='store_true',
        help="the teachers' own features, before the normalization of targets; else as the student's loss sees them "
        "('batch' and 'whiten' depend on --batch-size)",
    )
    add('--sample', type=_count, default=64, metavar='N', help='images for measures beside diversity; %(default)s')
    add('--labels', action='store_true', help="images' folders are their classes: the teachers' own kNN, a control")
    add('--batch-size', type=_positive, default=16, metavar='N', help='%(default)s')
    add('--device', help='cpu, cuda:0, ...; a GPU where there is one')
    add('--dtype', choices=('float32', 'bfloat16', 'float16'), default='float32')
    add('--pictures', type=_count, default=4, metavar='N', help='images to draw; %(default)s')
    add(
        '--point',
        nargs=2,
        type=_share,
        default=(0.5, 0.5),
        metavar=('Y', 'X'),
        help='place of the chosen token in pictures, from 0 to 1; the middle',
    )
    return parser.parse_args()


def main() -> None:
    """Measure, print the table, name what was skipped."""
    args = parse_arguments()
    silence_mmengine()
    device = _device(args.device)
    settings = Settings(
        img_size=args.img_size,
        patch_size=args.patch_size,
        own_grid=args.own_grid,
        normalized=not args.raw,
        sample_images=args.sample,
        batch_size=args.batch_size,
        device=device,
        dtype=args.dtype,
    )
    rows, skipped = compare(
        args.teachers,
        args.images,
        args.out,
        settings,
        args.max_images,
        args.pictures,
        tuple(args.point),
        args.labels,
        report=lambda line: print(f'mmimg2vec: {line}', file=sys.stderr),
    )
    for row in rows:
        if row.spec:
            print(f'{row.teacher}: {row.spec}')
    print(format_table(rows) or 'no teacher could be measured')
    measures = format_measures(rows)
    if measures:
        print(f'\n{measures}\n\nHow each has been validated:')
        shown = [key for key in MEASURES if key == 'diversity' or any(key in row.measures for row in rows)]
        print('\n'.join(f'  {MEASURES[key].title}: {MEASURES[key].validated}' for key in shown))
    print(f'table, figures and pictures: {args.out}')
    if skipped or any(row.error for row in rows):
        sys.exit(1)


def _device(text: str | None) -> str:
    device = text or ('cuda:0' if torch.cuda.is_available() else 'cpu')
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f'--device {device} cannot be used ({reason}): name cpu, or a GPU') from error
    return device


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f'{value} is below 0')
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'{value} is not positive')
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'{value} is not between 0 and 1')
    return value


if __name__ == '__main__':
    run(main)
