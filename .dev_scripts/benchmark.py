"""Time a pre-training step of Img2Vec, teacher included, against a step of mmpretrain's MAE, interleaved.

Both are the ViT-B/16 models of their configs, on the same random batch; a step is forward, backward and AdamW. The
figure to read is the ratio: interleaved steps see the same load of the machine. On the CPU: batch 8, float32. On a
GPU: bf16 at batch 256, with images/s and peak memory of each. ``--profile`` also times the parts of an Img2Vec step.

Example: ``python .dev_scripts/benchmark.py --steps 7 --json work_dirs/benchmark.json``
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings
from torch import nn

CONFIG = 'configs/img2vec/img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k.py'
MAE = dict(
    type='mmpretrain.MAE',
    backbone=dict(type='mmpretrain.MAEViT', arch='b', patch_size=16, mask_ratio=0.75),
    # Its defaults are MAE's decoder, behind a ViT-L.
    neck=dict(type='mmpretrain.MAEPretrainDecoder', embed_dim=768),
    head=dict(
        type='mmpretrain.MAEPretrainHead',
        norm_pix=True,
        patch_size=16,
        loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2'),
    ),
    data_preprocessor=dict(
        type='mmpretrain.SelfSupDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--config', default=CONFIG, help='pre-training config to time')
    parser.add_argument('--batch', type=int, help='images per step (default: 8 on the CPU, 256 on a GPU)')
    parser.add_argument('--steps', type=int, default=7, help='timed steps of each')
    parser.add_argument('--threads', type=int, help="CPU threads (default: torch's)")
    parser.add_argument('--profile', action='store_true', help='also time encoder, teacher and decoder')
    parser.add_argument('--compile', action='store_true', help='compile the teacher (GPU)')
    parser.add_argument('--json', type=Path, help='write the figures there')
    return parser.parse_args()


def build(model_cfg: dict, device: torch.device) -> nn.Module:
    """Build and initialize a model in training mode on the device."""
    from mmpretrain.registry import MODELS

    model = MODELS.build(model_cfg)
    model.init_weights()
    model.to(device)
    model.train()
    return model


def make_batch(batch: int, masked: bool, seed: int) -> dict:
    """A random batch as the dataloaders give it: uint8 images, and masks of 75 % for our models."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (batch, 3, 224, 224), generator=generator, dtype=torch.uint8)
    if not masked:
        return dict(inputs=images, data_samples=None)
    rank = torch.rand(batch, 196, generator=generator).argsort(dim=1)
    return dict(inputs=images, mask=rank >= 49, token_rank=rank, data_samples=None)


def make_step(model: nn.Module, data: dict, device: torch.device) -> Callable[[], None]:
    """A function that runs one training step."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05)

    def step() -> None:
        context = torch.autocast('cuda', torch.bfloat16) if device.type == 'cuda' else contextlib.nullcontext()
        with context:
            prepared = model.data_preprocessor(data, True)
            losses = model(**prepared, mode='loss')
        total = sum(value for name, value in losses.items() if 'loss' in name)
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()

    return step


def clock(function: Callable[[], None], device: torch.device) -> float:
    """Seconds that a call takes, the device's work included."""
    if device.type == 'cuda':
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if device.type == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_memory(step: Callable[[], None]) -> float:
    """Peak GPU memory of a step in GiB, what lies there already included."""
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() / 2**30


def profile(model: nn.Module, data: dict, device: torch.device) -> dict[str, float]:
    """Seconds of the parts of a step: forward and backward of encoder and decoder, forward of the teacher."""
    prepared = model.data_preprocessor(data, True)
    images, mask = prepared['inputs'], prepared['mask']
    positions = model.head.positions(mask)
    latents = model.encode(images, mask).detach().requires_grad_()
    parts = {
        'teacher': lambda: model.target_generator(images),
        'encoder': lambda: model.encode(images, mask).sum().backward(),
        'decoder': lambda: model.neck(latents, mask, positions).sum().backward(),
    }
    timed = {}
    for name, part in parts.items():
        part()
        timed[name] = statistics.median(clock(part, device) for _ in range(3))
    model.zero_grad(set_to_none=True)
    return timed


def main() -> None:
    """Run the benchmark and print its table."""
    args = parse_args()
    MMLogger.get_instance('benchmark', log_level='ERROR')
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    batch = args.batch or (256 if device.type == 'cuda' else 8)
    import_modules_from_strings('mmimg2vec')
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(args.config)
    model_cfg = cfg.model.to_dict()
    generator = model_cfg['target_generator']
    if generator['teacher'].pop('init_cfg', None) is not None:
        generator['random_weights'] = 0  # the time does not depend on the weights
    generator['compile'] = args.compile
    if device.type == 'cpu':
        generator['dtype'] = 'float32'  # most CPUs compute convolutions in bfloat16 ten times slower
    torch.manual_seed(0)
    models = {'MAE (mmpretrain)': build(MAE, device), 'Img2Vec': build(model_cfg, device)}
    steps = {name: make_step(model, make_batch(batch, name == 'Img2Vec', 0), device) for name, model in models.items()}
    for step in steps.values():
        step()
        step()
    times = {name: [] for name in steps}
    for _ in range(args.steps):
        for name, step in steps.items():
            times[name].append(clock(step, device))
    mae = statistics.median(times['MAE (mmpretrain)'])
    ratios = sorted(b / a for a, b in zip(*times.values(), strict=True))
    where = torch.cuda.get_device_name() if device.type == 'cuda' else f'CPU, {torch.get_num_threads()} threads'
    print(f'\nViT-B/16, 224 px, batch {batch}, {where}, torch {torch.__version__}, {args.steps} interleaved steps')
    # The median of the pairs: a pair sees the same load, the two medians may not.
    ratio = statistics.median(ratios)
    result = dict(device=where, batch=batch, ratio=ratio, ratios=ratios)
    for name, values in times.items():
        median = statistics.median(values)
        memory = f', peak {peak_memory(steps[name]):.1f} GiB' if device.type == 'cuda' else ''
        print(f'  {name:18s} {median * 1e3:9.1f} ms  {batch / median:8.1f} images/s{memory}')
        result[name] = dict(seconds=median, images_per_s=batch / median)
    print(f'  ratio Img2Vec / MAE: {ratio:.3f} (single pairs {ratios[0]:.3f} to {ratios[-1]:.3f})')
    if args.profile:
        result['parts'] = profile(models['Img2Vec'], make_batch(batch, True, 0), device)
        for name, seconds in result['parts'].items():
            print(f'  {name:18s} {seconds * 1e3:9.1f} ms  {seconds / mae:8.3f} of a MAE step')
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=2))


if __name__ == '__main__':
    main()
