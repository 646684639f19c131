"""Compose scenes of cut-out photographs with exact masks, in the layouts of ImageNet, COCO and ADE20K.

    python tools/dataset_converters/cutouts.py --stamps /usr/share/tuxpaint/stamps --out data/cutouts

The pictures are those of the Debian package tuxpaint-stamps-default, which has to be installed (``sudo apt-get install
tuxpaint-stamps-default``); what it says of their copyright is printed, and kept in ``OUT/cutouts.json``. What
validation shows is never seen in training: pictures are split, not scenes.
"""

from __future__ import annotations

import sys

try:
    from mmimg2vec.datasets.cutouts import Cutouts, CutoutsOptions
    from mmimg2vec.datasets.scenes.command import run_scene_command, scene_parser
    from mmimg2vec.errors import install_excepthook
except ModuleNotFoundError as error:
    sys.exit(f'mmimg2vec: error: {sys.executable} has no {error.name}: take .venv/bin/python, made by `make venv`')


def _build(given: dict) -> Cutouts:
    world = Cutouts(CutoutsOptions(**given))
    print(f'Pictures: {world.rights["copyright"]}; license {world.rights["license"]} ({world.rights["file"]})')
    for label in world.classes:
        train, val = (world.pictures[split][label] for split in ('train', 'val'))
        drawn = sum(stamp.kind == 'drawing' for stamp in (*train, *val))
        print(f'  {label}: {len(train)} + {len(val)} pictures' + (f', {drawn} of them drawings' if drawn else ''))
    return world


def main(arguments: list[str] | None = None) -> None:
    """Write what the command line asks for."""
    install_excepthook()
    default = CutoutsOptions()
    parser = scene_parser(
        'Compose Cutouts: the same scenes as ImageNet folders, COCO JSON and ADE20K folders.', default
    )
    add = parser.add_argument
    add('--stamps', default=default.stamps, help='folder of the installed package of pictures')
    add('--copyright', dest='copyright_file', help="the package's copyright file, where it is not in its usual place")
    add('--drawings', action='store_true', help='take drawings beside photographs')
    add('--val-share', type=float, default=default.val_share, help='share of pictures that only validation shows')
    add('--backgrounds', help='folder of photographs to paste on, instead of textures')
    run_scene_command(parser.parse_args(arguments), _build)


if __name__ == '__main__':
    main()
