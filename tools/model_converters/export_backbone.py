#!/usr/bin/env python3
"""Take a pre-trained backbone elsewhere, or fetch one from timm; the features are compared each time.

    python tools/model_converters/export_backbone.py IN OUT --to timm|transformers|mmpretrain|safetensors|onnx
    python tools/model_converters/export_backbone.py IN OUT --from timm|transformers [--arch base]

IN is the ``backbone.pth`` of a run or a checkpoint of it; OUT ends in ``.pth``, ``.safetensors`` or ``.onnx``, and
``OUT.json`` beside it says how the network is built. For timm and transformers, OUT without an ending is a folder as
their hub has it.
"""

import argparse
import sys
from pathlib import Path

try:
    from mmimg2vec.checkpoint.export import ONNX, export_backbone, import_backbone
    from mmimg2vec.checkpoint.files import metadata_path
    from mmimg2vec.checkpoint.layouts.table import EXPORTS
    from mmimg2vec.checkpoint.onnx_graph import OPSET
    from mmimg2vec.engine.command_line import run
    from mmimg2vec.errors import UserError
except ModuleNotFoundError as error:
    sys.exit(f'mmimg2vec: error: {sys.executable} has no {error.name}: take .venv/bin/python, made by `make venv`')

HUBS = {
    'timm': "in timm: timm.create_model('local-dir:{folder}', pretrained=True)",
    'transformers': "in transformers: AutoModel.from_pretrained('{folder}', add_pooling_layer=False)",
}


def parse_arguments() -> argparse.Namespace:
    """Define and parse the command line."""
    parser = argparse.ArgumentParser(description='Convert a backbone, and compare its features.')
    parser.add_argument('source', metavar='IN', help='backbone.pth of a run, or a checkpoint of it')
    parser.add_argument('target', metavar='OUT', help='file, or folder for a hub, to write')
    direction = parser.add_mutually_exclusive_group(required=True)
    direction.add_argument(
        '--to',
        choices=(*EXPORTS, ONNX),
        help="names of timm, of transformers' ViTModel, mmpretrain's without a prefix as .pth or .safetensors; a graph",
    )
    direction.add_argument(
        '--from',
        dest='origin',
        choices=tuple(HUBS),
        help='whose names IN has; OUT becomes a backbone.pth',
    )
    parser.add_argument('--arch', help="mmpretrain's name of the architecture, where IN has no config: base")
    parser.add_argument('--num-heads', type=int, help='attention heads, where IN has no config and no such name')
    parser.add_argument(
        '--img-size',
        type=int,
        nargs='+',
        metavar='PIXELS',
        help='SIDE or HEIGHT WIDTH that the network of timm or transformers is to be built for; that of pre-training',
    )
    parser.add_argument('--opset', type=int, default=OPSET, help="version of ONNX's operators; %(default)s")
    return parser.parse_args()


def main() -> None:
    """Convert the file that the command line names, and say what came out.

    Raises:
        UserError: The image size does not fit, or the file cannot be converted.
    """
    args = parse_arguments()
    img_size = None
    if args.img_size is not None:
        if len(args.img_size) > 2 or args.to not in HUBS or min(args.img_size) < 1:
            raise UserError(f'--img-size takes SIDE or HEIGHT WIDTH in pixels, and goes with --to {" or ".join(HUBS)}')
        img_size = (args.img_size[0], args.img_size[-1])
    if args.origin:
        print(import_backbone(args.source, args.target, args.origin, args.arch, args.num_heads))
        print(f'{args.target} is written')
        return
    metadata = export_backbone(args.source, args.target, args.to, args.arch, args.num_heads, img_size, args.opset)
    for parity in metadata['parity']:
        height, width = parity['img_size']
        print(
            f'features at {height} x {width} differ by at most {parity["max_difference"]:.2g} '
            f'({parity["relative"]:.2g} of the largest)'
        )
    if args.to in HUBS and not Path(args.target).suffix:
        print(f'{args.target} is written')
        print(HUBS[args.to].format(folder=args.target))
        return
    print(f'{args.target} and {metadata_path(args.target)} are written')
    if metadata['timm_model']:
        normalization = {key: metadata[key] for key in ('mean', 'std') if metadata[key]}
        # Without it, timm's own mean and std of this name, 0.5, would be taken for this network's.
        overlay = f', pretrained_cfg_overlay={normalization}' if normalization else ''
        print(
            f"in timm: timm.create_model('{metadata['timm_model']}', num_classes=0, "
            f"checkpoint_path='{args.target}'{overlay})"
        )


if __name__ == '__main__':
    run(main)
