"""Draw the embedded data: ``python tools/dataset_converters/shapes.py --out data/shapes``."""

from __future__ import annotations

import sys

try:
    from mmimg2vec.datasets.scenes.command import run_scene_command, scene_parser
    from mmimg2vec.datasets.shapes import Shapes, ShapesOptions
    from mmimg2vec.errors import install_excepthook
except ModuleNotFoundError as error:
    sys.exit(f'mmimg2vec: error: {sys.executable} has no {error.name}: take .venv/bin/python, made by `make venv`')


def main(arguments: list[str] | None = None) -> None:
    """Write what the command line asks for."""
    install_excepthook()
    parser = scene_parser(
        'Draw Shapes: the same scenes as ImageNet folders, COCO JSON and ADE20K folders.', ShapesOptions()
    )
    run_scene_command(parser.parse_args(arguments), lambda given: Shapes(ShapesOptions(**given)))


if __name__ == '__main__':
    main()
