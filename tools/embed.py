#!/usr/bin/env python3
"""Embeddings of images by a frozen backbone, their nearest neighbors, and their features as colors.

    python tools/embed.py BACKBONE IMAGE_OR_FOLDER... --out DIR [--query IMAGE...] [--pca]

BACKBONE is the ``backbone.pth`` of a run. DIR gets ``embeddings.npy`` (or ``.parquet``), ``embeddings.json`` with the
names of the rows, ``neighbors.html`` and ``pca.html``. Exit status: 0; 1 where an image could not be read and was
skipped; 2 for a mistake, or more than ``--max-share`` of the images skipped.
"""

import argparse
import sys

try:
    from mmimg2vec.engine.command_line import run
    from mmimg2vec.errors import UserError
    from mmimg2vec.inference.embedding import FORMATS, KINDS, Embedder, embed
    from mmimg2vec.inference.picture_pages import write_components, write_neighbors
except ModuleNotFoundError as error:
    sys.exit(f'mmimg2vec: error: {sys.executable} has no {error.name}: take .venv/bin/python, made by `make venv`')


def parse_arguments() -> argparse.Namespace:
    """Define and parse the command line."""
    parser = argparse.ArgumentParser(description='Embed images with a frozen backbone.')
    parser.add_argument('backbone', help='backbone.pth of a run, or a checkpoint of it')
    parser.add_argument('images', nargs='+', help='image files, and folders with images')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder of the results')
    parser.add_argument(
        '--kind', choices=KINDS, default='cls', help='class token, mean of the patches, or all patches; %(default)s'
    )
    parser.add_argument('--format', choices=FORMATS, default='npy', help='of the embeddings; %(default)s')
    parser.add_argument('--query', nargs='+', default=[], metavar='IMAGE', help='images whose neighbors are shown')
    parser.add_argument('--neighbors', type=int, default=10, metavar='N', help='of each query; %(default)s')
    parser.add_argument('--pca', action='store_true', help='features as colors, on one basis for all images')
    parser.add_argument(
        '--threshold', type=float, default=0.5, metavar='T', help='of the foreground, 0 to 1; %(default)s; 0 takes all'
    )
    parser.add_argument('--img-size', type=int, metavar='PIXELS', help='side of the images; that of pre-training')
    parser.add_argument('--batch-size', type=int, default=64, metavar='N', help='images at once; %(default)s')
    parser.add_argument('--workers', type=int, default=2, metavar='N', help='processes that load images; %(default)s')
    parser.add_argument('--device', help='cpu, cuda:0, ...; an accelerator where there is one')
    parser.add_argument('--arch', help="mmpretrain's name of the architecture, where BACKBONE has no config: base")
    parser.add_argument('--num-heads', type=int, help='attention heads, where BACKBONE has no config and no such name')
    parser.add_argument(
        '--max-share',
        type=float,
        default=0.01,
        metavar='S',
        help='largest share of images that may fail; %(default)s, and a single one always',
    )
    return parser.parse_args()


def main() -> None:
    """Embed the images that the command line names; name those that were skipped.

    Raises:
        UserError: A number makes no sense, or neighbors are asked for with parquet.
    """
    args = parse_arguments()
    if min(args.batch_size, args.neighbors) < 1 or args.workers < 0 or (args.img_size or 1) < 1:
        raise UserError('--batch-size, --neighbors and --img-size are 1 or more, --workers 0 or more')
    if not 0 <= args.threshold < 1:
        raise UserError('--threshold is 0 or more, and less than 1')
    if args.query and args.format != 'npy':
        raise UserError('--query compares embeddings of a .npy file: leave out --format')
    embedder = Embedder(args.backbone, args.img_size, args.device, args.arch, args.num_heads)
    if args.pca:
        embedder.check('patches')
    result = embed(
        embedder, args.images, args.out, args.kind, args.format, args.batch_size, args.workers, print, args.max_share
    )
    print(f'{args.out}/embeddings.{args.format}: {" x ".join(map(str, result["shape"]))} ({args.kind})')
    if args.query:
        print(write_neighbors(embedder, args.out, args.query, result, args.neighbors))
    if args.pca:
        print(write_components(embedder, args.images, args.out, args.threshold, args.batch_size, args.workers, print))
    for entry in result['skipped']:
        print(f'mmimg2vec: skipped: {entry["image"]}: {entry["reason"]}', file=sys.stderr)
    if result['skipped']:
        sys.exit(1)


if __name__ == '__main__':
    run(main)
