"""Do the annotations match the images, and the classes the heads of the model?

Each check names the first mistake that it finds in one line. mmpretrain's, mmdet's and mmseg's datasets are known by
what they have, so that none of these libraries is imported here. Which checks there are is the project's choice.
"""

from __future__ import annotations

import os
import os.path as osp
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from mmimg2vec.datasets.annotations import category_problem, coco_categories, is_class_head
from mmimg2vec.datasets.config_checks import check_dataset_config
from mmimg2vec.datasets.errors import UnreadableImage
from mmimg2vec.datasets.folders import base_datasets
from mmimg2vec.datasets.image_files import left_out_text
from mmimg2vec.datasets.maps import check_maps
from mmimg2vec.datasets.reading import depth_problem, image_size
from mmimg2vec.datasets.transforms.loading import size_problem
from mmimg2vec.errors import UserError
from mmimg2vec.utils.mistaken_files import written_otherwise

__all__ = [
    'base_datasets',
    'check_classes',
    'check_dataset',
    'check_dataset_config',
    'check_mixed_classes',
    'check_values',
    'found_text',
    'head_classes',
]

#: Files of a dataset that are opened; the others are only looked for.
OPENED = 32
_OPENED_FOR_DEPTH = 8


def found_text(dataset: Any) -> str:
    """How many images a dataset has, and what was left out of its folders."""
    left_out: Counter[str] = Counter()
    for base in base_datasets(dataset):
        left_out += getattr(base, 'left_out', Counter())
    return f'{len(dataset)} images{left_out_text(left_out)}'


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
            f'the datasets of {here} and {there} name their classes differently (number {number} is {first[number]} '
            f'and {second[number]}): give both the same metainfo.classes, or the same folders'
        )


def check_mixed_classes(model: nn.Module, heads: Mapping[str, int]) -> None:
    """Check that mixed labels (Mixup, CutMix) are as wide as the head.

    Args:
        model: Has mmpretrain's preprocessor of classification, or another one, which passes.
        heads: As :func:`head_classes` gives them.

    Raises:
        UserError: They are not.
    """
    preprocessor = getattr(model, 'data_preprocessor', None)
    if getattr(preprocessor, 'batch_augments', None) is None and not getattr(preprocessor, 'to_onehot', False):
        return
    width = getattr(preprocessor, 'num_classes', None)
    for head, count in heads.items():
        if width is not None and width != count:
            raise UserError(
                f'model.data_preprocessor has num_classes={width}, by which labels are mixed, and model.{head} '
                f'{count}: set model.data_preprocessor.num_classes={count}'
            )


def check_values(dataset: Any, inputs: Tensor, has_teacher: bool, where: str) -> None:
    """Check that images have values from 0 to 255 where a teacher will see them, and that none lose theirs.

    Args:
        dataset: The training dataset, or wrappers around it.
        inputs: ``(B, C, H, W)`` of its first samples, not normalized.
        has_teacher: A teacher sees them too.
        where: Name of its dataloader, for messages.

    Raises:
        UserError: They do not.
    """
    for base in base_datasets(dataset):
        if len(base) and hasattr(base, 'get_data_info'):
            _check_depth([base.get_data_info(index) for index in spread(len(base), _OPENED_FOR_DEPTH)], base, where)
    low, high = float(inputs.min()), float(inputs.max())
    # Resampling by cubic splines goes beyond the range by a tenth.
    if has_teacher and inputs.is_floating_point() and not (high > 2 and low >= -64 and high <= 320):
        raise UserError(
            f'the images of {where} have values from {low:.4g} to {high:.4g}, and the teacher takes 0 to 255: set '
            "value_range=(LOWEST, HIGHEST) of the data in the pipeline's LoadImage, and mean and std of the "
            'data_preprocessor for values from 0 to 255'
        )


def check_dataset(dataset: Any, where: str, max_files: int = 1000, num_classes: int | None = None) -> list[str]:
    """Check that a dataset is not empty and that its annotations match its images.

    - image files, and maps of a segmentation dataset, are there (``max_files`` of them), and there is no map without
      its image;
    - their sizes are those of the annotation, and of each other (some of them);
    - the values of maps are classes or ignored, and not all ignored (some of them), labels of images are classes;
    - COCO: the file has every class, in the same order.

    Args:
        dataset: The dataset, or wrappers around it.
        where: Name of its dataloader, for messages.
        max_files: How many files are looked for, evenly spread; 0 means all.
        num_classes: Number of classes where the dataset has no list of them.

    Returns:
        What is to be said of it: classes that do not occur, photos that are turned.

    Raises:
        UserError: Something does not match.
    """
    notes = []
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
        _check_files((info.get('img_path') for info in infos if 'stored' not in info), 'images', base, where)
        opened = [infos[index] for index in spread(len(infos), OPENED)]
        _check_depth(opened, base, where)
        notes += _check_sizes(opened, base, where)
        _check_labels(infos, len(_classes(base)) or num_classes, where)
        if hasattr(base, 'reduce_zero_label'):
            _check_files((info.get('seg_map_path') for info in infos), 'maps', base, where)
            _check_lone_maps(base, where)
            notes += check_maps(infos, base, where, OPENED)
        empty = getattr(base, 'empty_classes', None)
        if empty:
            notes.append(f'{len(empty)} classes have no image in {where}: {_some(empty)}')
    return notes


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
        found = written_otherwise(missing[0])
        cure = 'check data_root and data_prefix, and that the copy of the data is complete'
        if osp.islink(missing[0]):
            cure = f'it is a link to {os.readlink(missing[0])}, and that is not there: mend or remove it'
        elif found is not None:
            keys = 'the names' if kind == 'images' else 'seg_map_suffix'
            cure = f'there is {found}, so correct {keys}, data_root or data_prefix'
        raise UserError(
            f'{len(missing)} of {len(looked)} {kind} looked for in the dataset of {where} are missing (first: '
            f'{missing[0]}): {cure} ({_place(dataset)})'
        )


def _check_sizes(infos: list[dict], dataset: Any, where: str) -> list[str]:
    loader = loader_of(dataset)
    turned = 0
    for info in infos:
        if not {'height', 'width'} <= set(info) or not _is_local_file(info.get('img_path')):
            continue
        given = (info['height'], info['width'])
        found = _loaded_size(info['img_path'], loader)
        if found not in (None, given):  # what to do about unreadable images is the loader's choice
            problem = size_problem(found, given)
            raise UserError(
                f'{info["img_path"]} is {problem}{"; otherwise" if ":" in problem else ":"} the annotations '
                f'({_place(dataset)}, in {where}) belong to other images, or these have been resized: restore the '
                'images or convert the annotations'
            )
        turned += image_size(info['img_path'], turned=False) not in (None, image_size(info['img_path']))
    if turned == 0:
        return []
    return [
        f'{turned} of {len(infos)} photos looked at in {where} are turned by their EXIF orientation, as their boxes'
    ]


def _check_depth(infos: list[dict], dataset: Any, where: str) -> None:
    readable = [info for info in infos[:_OPENED_FOR_DEPTH] if 'stored' in info or _is_local_file(info.get('img_path'))]
    problem = depth_problem(readable, loader_of(dataset))
    if problem:
        raise UserError(f'{where}: {problem}')


def loader_of(dataset: Any) -> Any:
    """The first transform of a dataset's pipeline, which loads the image; None where there is no pipeline."""
    return next(iter(getattr(getattr(dataset, 'pipeline', None), 'transforms', ())), None)


def _loaded_size(path: str, loader: Any) -> tuple[int, int] | None:
    """Height and width of an image as the pipeline loads it, None where it cannot be read."""
    if not hasattr(loader, 'imdecode_backend'):
        return image_size(path)
    try:
        return tuple(loader({'img_path': path})['img_shape'])
    except UnreadableImage:
        return None


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
