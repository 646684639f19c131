"""Speed of the pre-training data pipeline on one core, beside that of mmpretrain's MAE configs.

    python .dev_scripts/benchmark_loader.py [--images 200] [--rounds 5] [--steps]

Writes JPEGs of 500 x 375 px (the common size in ImageNet) into a temporary folder and draws them through a
DataLoader with one worker of one thread, the pipelines taking turns in the same run, so that their ratio holds on any
machine. ``--steps`` also times variants of the pipeline, each leaving one thing out or doing it another way.
"""

from __future__ import annotations

import argparse
import os.path as osp
import statistics
import tempfile
import time

import cv2
import numpy as np
import torch
from mmengine.runner import Runner

import mmimg2vec  # noqa: F401  (registers the parts)


def crop(backend: str, interpolation: str) -> dict:
    """Config of the random crop of MAE's pipeline (scale 0.2 to 1, 224 px)."""
    return dict(
        type='mmpretrain.RandomResizedCrop',
        scale=224,
        crop_ratio_range=(0.2, 1.0),
        backend=backend,
        interpolation=interpolation,
    )


FLIP = dict(type='mmpretrain.RandomFlip', prob=0.5)
MMPRETRAIN_MAE = [
    dict(type='mmpretrain.LoadImageFromFile'),
    crop('pillow', 'bicubic'),
    FLIP,
    dict(type='mmpretrain.PackInputs'),
]
LOAD = dict(type='mmimg2vec.LoadImage')
MASK = dict(type='mmimg2vec.RandomTokenMask', patch_size=16, mask_ratio=0.75)
PACK = dict(type='mmimg2vec.PackMaskedInputs')
OURS = [LOAD, crop('cv2', 'bicubic'), FLIP, MASK, PACK]


def write_images(folder: str, count: int) -> None:
    """Write JPEGs of 500 x 375 px, about 100 kB each, with structure at several scales."""
    rng = np.random.RandomState(0)
    for index in range(count):
        image = np.zeros((375, 500, 3), np.float32)
        for cells in (4, 16, 64, 256):
            noise = rng.rand(cells, cells, 3).astype(np.float32)
            image += cv2.resize(noise, (500, 375), interpolation=cv2.INTER_CUBIC)
        image = np.clip(image * 64, 0, 255).astype(np.uint8)
        cv2.imwrite(osp.join(folder, f'{index:05d}.jpg'), image, [cv2.IMWRITE_JPEG_QUALITY, 92])


def build(folder: str, pipeline: list[dict], wrapped: bool) -> torch.utils.data.DataLoader:
    """Dataloader over the folder, with our sampler and wrapper or with mmengine's."""
    dataset = dict(type='mmpretrain.CustomDataset', data_root=folder, with_label=False, pipeline=pipeline)
    if wrapped:
        dataset = dict(type='mmimg2vec.SeededDataset', dataset=dataset)
    sampler = 'mmimg2vec.SeededSampler' if wrapped else 'DefaultSampler'
    return Runner.build_dataloader(
        dict(
            batch_size=50,
            num_workers=1,
            persistent_workers=True,
            sampler=dict(type=sampler, shuffle=True),
            collate_fn=dict(type='default_collate'),
            dataset=dataset,
        ),
        seed=0,
    )


def seconds_of_epoch(loader: torch.utils.data.DataLoader, epoch: int) -> float:
    """Wall-clock seconds to draw all images once."""
    loader.sampler.set_epoch(epoch)
    start = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - start


def main() -> None:
    """Time the pipelines in turn and print images per second and the ratio to mmpretrain's."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--images', type=int, default=200, help='images written and drawn per round')
    parser.add_argument('--rounds', type=int, default=5, help='rounds; the median counts')
    parser.add_argument('--steps', action='store_true', help='also time variants of the pipeline')
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)

    variants = {'mmpretrain MAE': (MMPRETRAIN_MAE, False), 'mmimg2vec': (OURS, True)}
    if args.steps:
        variants |= {
            'mmimg2vec, not seeded per item': (OURS, False),
            'mmimg2vec, pillow bicubic': ([LOAD, crop('pillow', 'bicubic'), *OURS[2:]], True),
            'mmimg2vec, cv2 bilinear': ([LOAD, crop('cv2', 'bilinear'), *OURS[2:]], True),
            'mmimg2vec, cv2 area': ([LOAD, crop('cv2', 'area'), *OURS[2:]], True),
            'decode, crop, resize alone': (
                [*OURS[:2], dict(type='mmpretrain.PackInputs')],
                False,
            ),
            'decode alone': (
                [LOAD, dict(type='mmpretrain.PackInputs')],
                False,
            ),
        }
    with tempfile.TemporaryDirectory() as folder:
        write_images(folder, args.images)
        loaders = {name: build(folder, *variant) for name, variant in variants.items()}
        seconds = {name: [] for name in loaders}
        for epoch in range(args.rounds + 1):
            for name, loader in loaders.items():
                seconds[name].append(seconds_of_epoch(loader, epoch))
    # The first round warms up caches.
    speed = {name: args.images / statistics.median(times[1:]) for name, times in seconds.items()}
    print(f'{"pipeline":34s} images/s per core   ratio')
    for name, images_per_second in speed.items():
        ratio = images_per_second / speed['mmpretrain MAE']
        print(f'{name:34s} {images_per_second:17.0f} {ratio:7.2f}')


if __name__ == '__main__':
    main()
