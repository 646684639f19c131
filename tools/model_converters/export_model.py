#!/usr/bin/env python3
"""Write a fine-tuned classifier or segmenter as an ONNX graph, and compare what onnxruntime computes.

python tools/model_converters/export_model.py CONFIG CHECKPOINT OUT.onnx
"""

import argparse
import sys

try:
    from mmimg2vec.checkpoint.files import metadata_path
    from mmimg2vec.checkpoint.onnx_graph import OPSET
    from mmimg2vec.engine.command_line import Options, run
    from mmimg2vec.inference.onnx_models import export_model
    from mmimg2vec.utils.config import load_config
except ModuleNotFoundError as error:
    sys.exit(f'mmimg2vec: error: {sys.executable} has no {error.name}: take .venv/bin/python, made by `make venv`')


def parse_arguments() -> argparse.Namespace:
    """Define and parse the command line."""
    parser = argparse.ArgumentParser(description='Write a trained model as an ONNX graph.')
    parser.add_argument('config', help='config of a classifier or segmenter')
    parser.add_argument('checkpoint', help='checkpoint that it has trained')
    parser.add_argument('target', metavar='OUT', help='file to write: NAME.onnx')
    parser.add_argument('--opset', type=int, default=OPSET, help="version of ONNX's operators; %(default)s")
    parser.add_argument(
        '--cfg-options', nargs='+', action=Options, metavar='KEY=VALUE', help='change settings of the config'
    )
    return parser.parse_args()


def main() -> None:
    """Export the model that the command line names, and say what came out."""
    args = parse_arguments()
    result = export_model(load_config(args.config, args.cfg_options), args.checkpoint, args.target, args.opset)
    largest = max(parity['max_difference'] for parity in result['parity'])
    sizes = 'any size' if result['any_size'] else f'{result["img_size"][0]} x {result["img_size"][1]} px alone'
    print(f'scores of onnxruntime and torch differ by at most {largest:.2g}; any batch, images of {sizes}')
    print(f'{args.target} and {metadata_path(args.target)} are written')


if __name__ == '__main__':
    run(main)
