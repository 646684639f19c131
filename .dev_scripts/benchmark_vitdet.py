"""Time forward and backward of the detection backbone: windows against global attention, relative positions or none.

The variants take turns, so that they see the same load of the machine. ``kept`` is what the forward pass keeps for the
backward pass beside the weights. On a GPU in bf16, on the CPU in float32; the images are random.

Example: ``python .dev_scripts/benchmark_vitdet.py --size 1024 --batch 1 --json work_dirs/vitdet.json``
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor, nn

VARIANTS = {
    'windows and 4 global blocks': dict(),
    'the same, with_cp': dict(with_cp=True),
    'the same, rel_pos=False': dict(rel_pos=False),
    'global': dict(window_size=0),
    'global, rel_pos=False': dict(window_size=0, rel_pos=False),
}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--arch', default='b', help="mmpretrain's name of the architecture")
    parser.add_argument('--size', type=int, default=1024, help='side of the images in pixels')
    parser.add_argument('--batch', type=int, default=1, help='images per step')
    parser.add_argument('--steps', type=int, default=5, help='timed steps of each')
    parser.add_argument('--json', type=Path, help='write the figures there')
    return parser.parse_args()


def step(model: nn.Module, images: Tensor) -> None:
    """Run forward and backward once, and wait for the device."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
        (features,) = model(images)
    features.float().square().mean().backward()
    model.zero_grad(set_to_none=True)
    if images.is_cuda:
        torch.cuda.synchronize()


def kept_for_backward(model: nn.Module, images: Tensor) -> float:
    """GiB that the forward pass keeps, each storage counted once, the weights not (but their bf16 copies)."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    sizes = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        outputs = model(images)
    del outputs  # alive until here, so that no address was used twice
    return sum(sizes.values()) / 2**30


def main() -> None:
    """Time all variants and print a table."""
    from mmimg2vec.models import ViTDet

    args = parse_args()
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    images = torch.randn(args.batch, 3, args.size, args.size, device=device)
    torch.manual_seed(0)
    models = {name: ViTDet(arch=args.arch, img_size=args.size, **v) for name, v in VARIANTS.items()}
    seconds = {name: [] for name in models}
    figures = {}
    for name, model in models.items():
        model.to(device).train()
        with torch.autocast(device.type, torch.bfloat16, enabled=images.is_cuda):
            figures[name] = {'kept_gib': kept_for_backward(model, images)}
        if images.is_cuda:
            torch.cuda.reset_peak_memory_stats()
        step(model, images)  # the first one is not timed
        if images.is_cuda:
            figures[name]['peak_gib'] = torch.cuda.max_memory_allocated() / 2**30
    for _ in range(args.steps):
        for name, model in models.items():
            start = time.perf_counter()
            step(model, images)
            seconds[name].append(time.perf_counter() - start)
    for name, figure in figures.items():
        figure['step_s'] = statistics.median(seconds[name])
        values = '  '.join(f'{key} {value:8.3f}' for key, value in figure.items())
        print(f'{name:30s} {values}')
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        settings = {key: value for key, value in vars(args).items() if key != 'json'}
        args.json.write_text(json.dumps(dict(settings, figures=figures), indent=2) + '\n')


if __name__ == '__main__':
    main()
