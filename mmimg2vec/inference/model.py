"""A trained model and what its config says of it: whole weights, class names, the pipeline of the images."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import Registry
from torch import nn

from mmimg2vec.datasets.annotations import is_class_head
from mmimg2vec.errors import UserError


def dataset_meta(cfg: Config, checkpoint: Mapping[str, Any], datasets: Registry, model: nn.Module) -> dict[str, Any]:
    """Class names and colors.

    Args:
        cfg: Config; its test dataset tells what the checkpoint does not.
        checkpoint: Trained with these classes.
        datasets: Registry of the library's datasets.
        model: Its heads say how many classes there are; they are numbered where nothing names them.

    Returns:
        ``classes``, and ``palette``, an RGB color each.

    Raises:
        UserError: The number of names is not that of the head.
    """
    dataset = inner_dataset(cfg)
    meta = dict(getattr(datasets.get(dataset.get('type', '')), 'METAINFO', None) or {})
    meta |= dataset.get('metainfo') or {}
    trained = (checkpoint.get('meta') or {}).get('dataset_meta') or {}
    meta |= {key.lower(): value for key, value in trained.items() if value is not None}
    heads = {
        module.num_classes
        for name, module in model.named_modules()
        if is_class_head(name) and isinstance(getattr(module, 'num_classes', None), int)
    }
    classes = list(meta.get('classes') or map(str, range(max(heads, default=0))))
    if heads and len(classes) not in heads:
        raise UserError(
            f'the model tells {max(heads)} classes apart, and there are {len(classes)} class names '
            f'({", ".join(map(str, classes[:3]))}, ...): correct metainfo of the test dataset'
        )
    palette = meta.get('palette')
    if not isinstance(palette, (list, tuple)) or len(palette) < len(classes):
        palette = distinct_colors(len(classes))
    return {'classes': classes, 'palette': [tuple(color) for color in palette]}


def distinct_colors(count: int) -> list[tuple[int, int, int]]:
    """RGB colors whose hues are far apart, the same ones each time."""
    # Steps of the golden ratio never come close to an earlier hue.
    hues = [(index * 0.61803398875) % 1 for index in range(count)]
    colors = [colorsys.hsv_to_rgb(hue, 0.75, 0.95) for hue in hues]
    return [(round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue in colors]


def inner_dataset(cfg: Config) -> dict[str, Any]:
    """The test dataset inside its wrappers."""
    dataset = cfg.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    return dataset


def path_pipeline(cfg: Config) -> Compose:
    """The test pipeline of the config for the path of an image, annotations left out.

    The inferencers put a loader of their own in the place of ``LoadImageFromFile`` and know no other; here images
    are loaded as in training.
    """
    transforms = [
        transform
        for transform in inner_dataset(cfg)['pipeline']
        if not transform['type'].split('.')[-1].startswith('Load') or 'Image' in transform['type'].split('.')[-1]
    ]
    return Compose([_as_sample, *transforms])


def _as_sample(path: str) -> dict[str, Any]:
    return {'img_path': path, 'img_id': 0, 'sample_idx': 0}
