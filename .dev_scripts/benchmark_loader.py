"""Speed of the pre-training data pipeline on one core, beside raw OpenCV and mmpretrain's MAE pipeline.

    python .dev_scripts/benchmark_loader.py [--size 500x375 4000x3000] [--images 200] [--rounds 5] [--steps]

Writes JPEGs of each size into a temporary folder (500 x 375 px is the common size in ImageNet, 4000 x 3000 px that of a
phone's photos; of those a tenth of ``--images``) and draws them through dataloaders in this process, with one thread.
The pipelines take turns in the same run, and processor time is counted, so that the ratios hold on a busy machine too:

- *OpenCV alone*: read, ``imdecode``, crop, ``resize`` in a loop, with the crops and the interpolation of *mmimg2vec*:
  what is left when nothing is checked, seeded, flipped, masked, packed or collated;
- *mmimg2vec*: as shipped in configs/img2vec; *mmimg2vec, decoding whole*: ``LoadImage`` and mmpretrain's crop;
- *mmimg2vec, shards*: the same images in shards, larger ones shrunk to a short side of 320 px.

``--steps`` also times variants of the pipeline, each leaving one thing out or doing it another way.
"""

from __future__ import annotations

import argparse
import os.path as osp
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import torch
from mmengine.runner import Runner
from mmpretrain.datasets.transforms import RandomResizedCrop

import mmimg2vec  # noqa: F401  (registers the parts)
from mmimg2vec.datasets.shards.writing import ShardOptions, make_shards

CROP = 224
BATCH = 50
# A photo of 12 million pixels takes as long as this many of ImageNet's.
LARGE = 10


def crop(backend: str, interpolation: str) -> dict:
    """Config of the random crop of MAE's pipeline (scale 0.2 to 1, 224 px)."""
    return dict(
        type='mmpretrain.RandomResizedCrop',
        scale=CROP,
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
LOAD_AND_CROP = dict(type='mmimg2vec.LoadRandomResizedCrop', scale=CROP, crop_ratio_range=(0.2, 1.0))
MASK = dict(type='mmimg2vec.RandomTokenMask', patch_size=16, mask_ratio=0.75)
PACK = dict(type='mmimg2vec.PackMaskedInputs')
OURS = [LOAD_AND_CROP, FLIP, MASK, PACK]
WHOLE = [LOAD, crop('cv2', 'bicubic'), FLIP, MASK, PACK]


def write_images(folder: str, count: int, size: tuple[int, int] = (500, 375)) -> None:
    """Write JPEGs of ``size`` (width, height) with structure at several scales.

    Those of 500 x 375 px take about 100 kB each, as in ImageNet, and those of 4000 x 3000 px 4 MB, as a phone's.
    """
    rng = np.random.RandomState(0)
    for index in range(count):
        image = np.zeros((size[1], size[0], 3), np.float32)
        for cells in (4, 16, 64, max(256, size[0] // 4)):
            noise = rng.rand(cells, cells, 3).astype(np.float32)
            image += cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
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
            batch_size=BATCH,
            num_workers=0,
            sampler=dict(type=sampler, shuffle=True),
            collate_fn=dict(type='default_collate'),
            dataset=dataset,
        ),
        seed=0,
    )


def draw_all(loader: torch.utils.data.DataLoader, epoch: int) -> int:
    """Draw all images once; return their number."""
    loader.sampler.set_epoch(epoch)
    return sum(len(batch['inputs']) for batch in loader)


def opencv_alone(folder: str, interpolation: int | None = None) -> Callable[[int], int]:
    """What draws all images of a folder with OpenCV and nothing else.

    Args:
        folder: With the images.
        interpolation: None averages where it shrinks, as ``LoadRandomResizedCrop``.
    """
    paths = sorted(map(str, Path(folder).iterdir()))
    drawn = RandomResizedCrop(CROP, crop_ratio_range=(0.2, 1.0))

    def run(epoch: int) -> int:
        for path in paths:
            with open(path, 'rb') as file:
                image = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)
            top, left, height, width = drawn.rand_crop_params(image)
            way = cv2.INTER_AREA if min(height, width) >= CROP else cv2.INTER_CUBIC
            part = image[top : top + height, left : left + width]
            cv2.resize(part, (CROP, CROP), interpolation=way if interpolation is None else interpolation)
        return len(paths)

    return run


def of_shards(folder: str, out: str) -> Callable[[int], int]:
    """Make shards of a folder; what draws all images of them some times, since that is soon done."""
    make_shards(Path(folder), Path(out), ShardOptions(), report=lambda line: None)
    loader = build(out, OURS, True)
    return lambda epoch: sum(draw_all(loader, LARGE * epoch + i) for i in range(LARGE))


def runs_of(folder: str, steps: bool) -> dict[str, Callable[[int], int]]:
    """Name of a pipeline -> what draws the images of a folder through it, given the number of the epoch."""
    variants = {
        'mmpretrain MAE': (MMPRETRAIN_MAE, False),
        'mmimg2vec, decoding whole': (WHOLE, True),
        'mmimg2vec': (OURS, True),
    }
    if steps:
        variants |= {
            'mmimg2vec, not seeded per item': (OURS, False),
            'mmimg2vec, cv2 bicubic': ([{**LOAD_AND_CROP, 'interpolation': 'bicubic'}, *OURS[1:]], True),
            'whole, pillow bicubic': ([LOAD, crop('pillow', 'bicubic'), *OURS[1:]], True),
            'crop alone': ([LOAD_AND_CROP, dict(type='mmpretrain.PackInputs')], False),
        }
    loaders = {name: build(folder, *variant) for name, variant in variants.items()}
    runs: dict[str, Callable[[int], int]] = {'OpenCV alone': opencv_alone(folder)}
    if steps:
        runs['OpenCV alone, bicubic'] = opencv_alone(folder, cv2.INTER_CUBIC)
    return runs | {name: lambda epoch, loader=loader: draw_all(loader, epoch) for name, loader in loaders.items()}


def measure(runs: dict[str, Callable[[int], int]], rounds: int) -> dict[str, float]:
    """Median seconds of processor time per image of each run, all taking turns; the first round warms up caches."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for epoch in range(rounds + 1):
        for name, run in runs.items():
            start = time.process_time()
            drawn = run(epoch)
            seconds[name].append((time.process_time() - start) / drawn)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}


def main() -> None:
    """Time the pipelines in turn and print images per second, and ratios to OpenCV and to decoding whole."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--images', type=int, default=200, help='images written and drawn per round')
    parser.add_argument('--rounds', type=int, default=5, help='rounds; the median counts')
    parser.add_argument('--size', nargs='+', default=['500x375', '4000x3000'], help='WIDTHxHEIGHT of the images')
    parser.add_argument('--steps', action='store_true', help='also time variants of the pipeline')
    args = parser.parse_args()
    # Random states are restored outside of workers only, and training uses workers.
    torch.utils.data._utils.worker._worker_info = SimpleNamespace(id=0, num_workers=1)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    for text in args.size:
        size = tuple(map(int, text.split('x')))
        count = args.images if size[0] < 1000 else max(1, args.images // LARGE)
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as out:
            write_images(folder, count, size)
            kilobytes = sum(path.stat().st_size for path in Path(folder).iterdir()) / count / 1000
            runs = runs_of(folder, args.steps) | {'mmimg2vec, shards': of_shards(folder, osp.join(out, 'shards'))}
            seconds = measure(runs, args.rounds)
        print(f'{text} px, {kilobytes:.0f} kB, one core: images/s, over OpenCV alone, over decoding whole')
        for name, taken in seconds.items():
            ratios = [seconds[other] / taken for other in ('OpenCV alone', 'mmimg2vec, decoding whole')]
            print(f'{name:34s} {1 / taken:8.1f} {ratios[0]:7.2f} {ratios[1]:7.2f}')


if __name__ == '__main__':
    main()
