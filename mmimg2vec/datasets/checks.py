"""Do the annotations match the images, and the classes the heads of the model?

Each check names the first mistake that it finds in one line. mmpretrain's, mmdet's and mmseg's datasets are known by
what they have, so that none of these libraries is imported here. Which checks there are is the project's choice.
"""

from __future__ import annotations

import os
import os.path as osp
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image
from torch import nn

from mmimg2vec.datasets.annotations import (
    category_problem,
    coco_categories,
    image_size,
    is_class_head,
)
from mmimg2vec.datasets.config_checks import check_dataset_config
from mmimg2vec.errors import UserError

__all__ = [
    'base_datasets',
    'check_classes',
    'check_dataset',
    'check_dataset_config',
    'head_classes',
]

#: Files of a dataset that are opened; the others are only looked for.
OPENED = 32


def base_datasets(dataset: Any) -> Iterator[Any]:
    """The datasets inside ``SeededDataset``, ``RepeatDataset``, ``ConcatDataset`` and other wrappers."""
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    if inner[0] is None:
        yield dataset
        return
    for part in inner:
        yield from base_datasets(part)


def head_classes(model: nn.Module) -> dict[str, int]:
    """Name of each head that predicts the dataset's classes -> its ``num_classes``."""
    return {
        name: part.num_classes
        for name, part in model.named_modules()
        if is_class_head(name)
        and isinstance(getattr(part, 'num_classes', None), int)
        and not getattr(part, 'class_agnostic', False)
    }


def check_classes(datasets: Mapping[str, Any], heads: Mapping[str, int]) -> None:
    """Check that the class lists are as long as the heads are wide, and all the same.

    Args:
        datasets: Name of a dataloader -> its dataset; one without a class list passes.
        heads: As :func:`head_classes` gives them; without any nothing is checked.

    Raises:
        UserError: They are not.
    """
    lists: dict[tuple[str, ...], str] = {}  # classes -> the first dataset that has them
    for where, dataset in datasets.items() if heads else ():
        for base in base_datasets(dataset):
            classes = _classes(base)
            if not classes:
                continue
            for head, width in heads.items():
                if width != len(classes):
                    raise UserError(
                        f'model.{head} has num_classes={width}, and the dataset of {where} {len(classes)} classes '
                        f'({_some(classes)}): set model.{head}.num_classes={len(classes)}, or correct the classes'
                    )
            lists.setdefault(classes, where)
    if len(lists) > 1:
        (first, here), (second, there) = list(lists.items())[:2]
        number = next(i for i in range(len(first)) if first[i] != second[i])
        raise UserError(
            f'the datasets of {here} and {there} name their classes differently (number {number} is {first[number]} and '
            f'{second[number]}): give both the same metainfo.classes, or the same folders'
        )


def check_dataset(dataset: Any, where: str, max_files: int = 1000, num_classes: int | None = None) -> None:
    """Check that a dataset is not empty and that its annotations match its images.

    - image files, and maps of a segmentation dataset, are there (``max_files`` of them), and there is no map without
      its image;
    - their sizes are those of the annotation, and of each other (some of them);
    - the values of maps are classes or ignored (some of them), labels of images are classes;
    - COCO: the file has every class, in the same order.

    Args:
        dataset: The dataset, or wrappers around it.
        where: Name of its dataloader, for messages.
        max_files: How many files are looked for, evenly spread; 0 means all.
        num_classes: Number of classes where the dataset has no list of them.

    Raises:
        UserError: Something does not match.
    """
    for base in base_datasets(dataset):
        if len(base) == 0:
            raise UserError(
                f'the dataset of {where} is empty ({_place(base)}): check its paths, its classes and filter_cfg'
            )
        if not hasattr(base, 'get_data_info'):
            continue  # nothing is known of it
        if hasattr(base, 'cat_ids'):
            _check_categories(base, where)
        infos = [base.get_data_info(index) for index in spread(len(base), max_files)]
        _check_files((info.get('img_path') for info in infos), 'images', base, where)
        opened = [infos[index] for index in spread(len(infos), OPENED)]
        _check_sizes(opened, base, where)
        _check_labels(infos, len(_classes(base)) or num_classes, where)
        if hasattr(base, 'reduce_zero_label'):
            _check_files((info.get('seg_map_path') for info in infos), 'maps', base, where)
            _check_lone_maps(base, where)
            for info in opened:
                if _is_local_file(info.get('seg_map_path')):
                    _check_map(info, base, where)


def spread(length: int, count: int) -> list[int]:
    """``count`` indices evenly spread over ``length``; all of them where that is fewer, or ``count`` is 0."""
    if count == 0 or count >= length:
        return list(range(length))
    return [index * length // count for index in range(count)]


def _check_categories(dataset: Any, where: str) -> None:
    if not _is_local_file(dataset.ann_file):
        return
    categories = coco_categories(dataset.ann_file)
    # mmdet's ids in the order of its labels, then what it has left out
    ids = [*dataset.cat_ids, *(number for number in categories if number not in dataset.cat_ids)]
    names = [categories[number] for number in ids]
    problem = category_problem(names, _classes(dataset), dataset.ann_file)
    if problem:
        raise UserError(f'{where}: {problem}')


def _check_files(paths: Iterable[Any], kind: str, dataset: Any, where: str) -> None:
    looked = [path for path in paths if isinstance(path, str) and '://' not in path]
    missing = [path for path in looked if not osp.isfile(path)]
    if missing:
        raise UserError(
            f'{len(missing)} of {len(looked)} {kind} looked for in the dataset of {where} are missing (first: '
            f'{missing[0]}): check data_root and data_prefix, and that the copy of the data is complete '
            f'({_place(dataset)})'
        )


def _check_sizes(infos: list[dict], dataset: Any, where: str) -> None:
    for info in infos:
        if not {'height', 'width'} <= set(info) or not _is_local_file(info.get('img_path')):
            continue
        found, given = image_size(info['img_path']), (info['height'], info['width'])
        if found not in (None, given):  # what to do about unreadable images is the loader's choice
            raise UserError(
                f'{info["img_path"]} is {found[0]} x {found[1]} (height x width) and its annotation in the dataset of '
                f'{where} says {given[0]} x {given[1]}: the annotations ({_place(dataset)}) belong to other images, or '
                'these have been resized; restore the images or convert the annotations'
            )


def _check_labels(infos: list[dict], num_classes: int | None, where: str) -> None:
    for info in infos if num_classes else ():
        labels = np.atleast_1d(info.get('gt_label', -1))
        if labels.size and labels.max() >= num_classes:
            raise UserError(
                f'{info.get("img_path")} in the dataset of {where} has the label {labels.max()}, and there are '
                f'{num_classes} classes, numbered from 0: correct the annotation file, or the number of classes'
            )


def _check_lone_maps(dataset: Any, where: str) -> None:
    folder = dataset.data_prefix.get('seg_map_path')
    listed_otherwise = dataset.ann_file or getattr(dataset, '_indices', None) is not None
    if listed_otherwise or not folder or not osp.isdir(folder):
        return
    wanted = {osp.normpath(dataset.get_data_info(i)['seg_map_path']) for i in range(len(dataset))}
    maps = (
        osp.normpath(osp.join(root, name))
        for root, _, names in os.walk(folder)
        for name in names
        if name.endswith(dataset.seg_map_suffix)
    )
    lone = sorted(path for path in maps if path not in wanted)
    if lone:
        raise UserError(
            f'{len(lone)} maps in the dataset of {where} have no image (first: {lone[0]}): put the images '
            f'(*{dataset.img_suffix}) into {dataset.data_prefix["img_path"]}, or remove the maps'
        )


def _check_map(info: dict, dataset: Any, where: str) -> None:
    path = info['seg_map_path']
    try:
        with Image.open(path) as image:
            values = np.array(image).squeeze()
    except OSError as error:
        raise UserError(f'{path} is no readable image ({error}): replace it') from error
    if values.ndim != 2:
        raise UserError(
            f'{path} in the dataset of {where} is a color picture, not a map of class numbers: convert the maps to '
            'one channel'
        )
    size = image_size(info['img_path']) if _is_local_file(info.get('img_path')) else None
    if size not in (None, values.shape):
        raise UserError(
            f'the map {path} is {values.shape[0]} x {values.shape[1]} and its image {info["img_path"]} another size: '
            f'the maps of {where} belong to other images, or these have been resized'
        )
    count = len(dataset.label_map or _classes(dataset))
    top = count if dataset.reduce_zero_label else count - 1
    wrong = [v for v in np.unique(values) if v > top and v not in (255, dataset.ignore_index)]
    if count and wrong:
        raise UserError(
            f'the map {path} in the dataset of {where} holds the value {wrong[0]}, and {count} classes with '
            f'reduce_zero_label={dataset.reduce_zero_label} allow 0 to {top}, and {dataset.ignore_index} for ignored: '
            'correct metainfo.classes or reduce_zero_label, or convert the maps'
        )


def _classes(dataset: Any) -> tuple[str, ...]:
    return tuple((getattr(dataset, 'metainfo', None) or {}).get('classes') or ())


def _place(dataset: Any) -> str:
    for key in ('ann_file', 'data_root'):
        if getattr(dataset, key, None):
            return f'{key}={getattr(dataset, key)}'
    return type(dataset).__name__


def _is_local_file(path: Any) -> bool:
    return isinstance(path, str) and osp.isfile(path)


def _some(names: Iterable[str], count: int = 3) -> str:
    names = [str(name) for name in names]
    return ', '.join(names[:count]) + (' ...' if len(names) > count else '')
