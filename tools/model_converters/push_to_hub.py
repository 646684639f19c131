#!/usr/bin/env python3
"""Upload an exported folder to the Hugging Face hub.

    python tools/model_converters/export_backbone.py backbone.pth vit --to timm
    python tools/model_converters/push_to_hub.py vit USER/NAME [--public]

Read ``vit/README.md``, the model card, first: the license is yours to set.
"""

import argparse
import sys

try:
    from mmimg2vec.checkpoint.hub import push_to_hub
    from mmimg2vec.engine.command_line import run
except ModuleNotFoundError as error:
    sys.exit(f'mmimg2vec: error: {sys.executable} has no {error.name}: take .venv/bin/python, made by `make venv`')


def parse_arguments() -> argparse.Namespace:
    """Define and parse the command line."""
    parser = argparse.ArgumentParser(description='Upload an exported folder to the Hugging Face hub.')
    parser.add_argument('folder', help='that export_backbone.py --to timm (or transformers) wrote')
    parser.add_argument('repository', metavar='USER/NAME', help='on the hub; made where it is not there')
    parser.add_argument('--public', action='store_true', help='a new repository is seen by all')
    return parser.parse_args()


def main() -> None:
    """Upload the folder that the command line names."""
    args = parse_arguments()
    print(push_to_hub(args.folder, args.repository, private=not args.public))


if __name__ == '__main__':
    run(main)
