"""Maps of segmentation: are their values classes, and is there anything to learn in them?"""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence
from typing import Any

import mmcv
import numpy as np

from mmimg2vec.datasets.errors import DataError, UnreadableImage
from mmimg2vec.datasets.reading import image_size, read_bytes
from mmimg2vec.errors import UserError
from mmimg2vec.utils.mistaken_files import kind_of

# Maps that are opened where some class has not been met in the first ones.
_OPENED_FOR_CLASSES = 256
# mmseg keeps eight bits of a map, and 255 means ignored.
_MOST_CLASSES = _IGNORED = 255


def check_maps(infos: Sequence[dict], dataset: Any, where: str, opened: int) -> list[str]:
    """Check some maps of a segmentation dataset, read as its pipeline reads them.

    Args:
        infos: Samples with ``seg_map_path`` and ``img_path``.
        dataset: The dataset: has ``reduce_zero_label``, ``label_map``, ``ignore_index`` and ``metainfo``.
        where: Name of its dataloader, for messages.
        opened: Maps that are opened, evenly spread; more of them where a class has not been met.

    Returns:
        What is to be said: classes that do not occur in the maps looked at.

    Raises:
        UserError: A map holds something else than classes, or there is at most one class to learn.
    """
    classes = tuple(dataset.metainfo.get('classes') or ())
    if len(classes) > _MOST_CLASSES:
        raise UserError(
            f'the dataset of {where} has {len(classes)} classes, and mmseg keeps eight bits of a map, 255 for ignored: '
            f'at most {_MOST_CLASSES} classes can be told apart; join some'
        )
    for step in _steps(dataset):
        if getattr(step, 'reduce_zero_label', None) not in (None, dataset.reduce_zero_label):
            raise UserError(
                f'{where}: the dataset has reduce_zero_label={dataset.reduce_zero_label}, and {type(step).__name__} of '
                f'its pipeline {step.reduce_zero_label}: give both the same'
            )
    infos = [info for info in infos if osp.isfile(info.get('seg_map_path') or '')]
    # The first ones evenly spread, then the rest.
    first = set(range(0, len(infos), max(1, len(infos) // opened)))
    order = [*sorted(first), *(number for number in range(len(infos)) if number not in first)]
    pixels = np.zeros(256, np.int64)
    seen = 0
    for number in order[:_OPENED_FOR_CLASSES]:
        if seen >= opened and len(_present(pixels, dataset, len(classes))) == len(classes):
            break
        pixels += np.bincount(_read(infos[number], dataset, where).ravel(), minlength=256)
        seen += 1
    return _judge(pixels, seen, len(infos), classes, dataset, where) if seen and classes else []


def _judge(pixels: np.ndarray, seen: int, total: int, classes: tuple, dataset: Any, where: str) -> list[str]:
    present = _present(pixels, dataset, len(classes))
    values = ', '.join(f'{value} ({count} pixels)' for value, count in enumerate(pixels) if count)
    if not present:
        raise UserError(
            f'all pixels of the {seen} maps looked at in {where} are ignored; their values: {values}, with '
            f'reduce_zero_label={dataset.reduce_zero_label}: correct reduce_zero_label, or convert the maps'
        )
    if len(present) == 1 and len(classes) > 1:
        cure = 'write 1, not 255, for objects' if pixels[255] else 'correct reduce_zero_label or the maps'
        raise UserError(
            f'the {seen} maps looked at in {where} hold one class only, {classes[next(iter(present))]}; their values: '
            f'{values}, with reduce_zero_label={dataset.reduce_zero_label}, 255 for ignored: {cure}'
        )
    absent = [str(name) for number, name in enumerate(classes) if number not in present]
    if not absent:
        return []
    named = ', '.join(absent[:5]) + (' ...' if len(absent) > 5 else '')
    return [f'{len(absent)} of {len(classes)} classes do not occur in {seen} of {total} maps of {where}: {named}']


def _present(pixels: np.ndarray, dataset: Any, count: int) -> set[int]:
    """Classes whose pixels have been met."""
    values = [value for value in range(255) if pixels[value]]
    if dataset.reduce_zero_label:
        values = [value - 1 for value in values if value]
    if dataset.label_map:
        values = [dataset.label_map.get(value, value) for value in values]
    return {value for value in values if 0 <= value < count}


def _read(info: dict, dataset: Any, where: str) -> np.ndarray:
    path = info['seg_map_path']
    backend = next((step.imdecode_backend for step in _steps(dataset) if hasattr(step, 'reduce_zero_label')), 'pillow')
    try:
        values = _decode(path, backend)
    except UnreadableImage as error:
        problem = f'the map {path} in the dataset of {where} is unreadable ({error.reason}): replace it'
        raise UserError(problem) from error
    if values.ndim != 2:
        raise UserError(
            f'{path} in the dataset of {where} is a color picture, not a map of class numbers: convert the maps to '
            'one channel'
        )
    size = image_size(info['img_path']) if osp.isfile(info.get('img_path') or '') else None
    if size not in (None, values.shape):
        raise UserError(
            f'the map {path} is {values.shape[0]} x {values.shape[1]} and its image {info["img_path"]} '
            f'{size[0]} x {size[1]} (height x width): '
            f'the maps of {where} belong to other images, or these have been resized'
        )
    count = len(dataset.label_map or dataset.metainfo.get('classes') or ())
    top = count if dataset.reduce_zero_label else count - 1
    present = np.unique(values)
    wrong = [v for v in present if v > top and v not in (255, dataset.ignore_index)] if count else []
    wrong += [v for v in present if v < 0 or v > 255]
    if wrong:
        raise UserError(
            f'the map {path} in the dataset of {where} holds the value {wrong[0]}, and {count} classes with '
            f'reduce_zero_label={dataset.reduce_zero_label} allow 0 to {top}, and {dataset.ignore_index} for ignored: '
            'correct metainfo.classes or reduce_zero_label, or convert the maps'
        )
    return values.astype(np.uint8)


def _decode(path: str, backend: str) -> np.ndarray:
    data = read_bytes(path)
    try:
        return mmcv.imfrombytes(data, flag='unchanged', backend=backend).squeeze()
    except Exception as error:  # each decoder has exceptions of its own for what it cannot read
        raise UnreadableImage(path, kind_of(data) or f'not decodable ({error})') from error


def watch_maps(dataset: Any, where: str) -> None:
    """Let the pipeline of a segmentation dataset look at each map that it loads, not only at those of the first check.

    Args:
        dataset: One without wrappers; those of other tasks are left alone.
        where: Where its config stands, for messages.
    """
    steps = _steps(dataset)
    if hasattr(dataset, 'reduce_zero_label') and isinstance(steps, list):
        steps[:] = [WatchedMaps(step, dataset, where) if hasattr(step, 'reduce_zero_label') else step for step in steps]


class WatchedMaps:
    """A transform that loads maps, and names the first map that does not hold classes or is not of its image's size.

    In a loss a value above the classes is a failed assertion on the GPU, without a name. Costs a tenth of a millisecond
    per million pixels; maps of more than eight bits, of which mmseg's loader keeps eight, are read a second time.

    Args:
        step: mmseg's ``LoadAnnotations``.
        dataset: Whose pipeline it belongs to.
        where: Where the config of the dataset stands, for messages.
    """

    def __init__(self, step: Any, dataset: Any, where: str) -> None:
        self.step, self.dataset, self.where = step, dataset, where

    def __getattr__(self, name: str) -> Any:
        if name == 'step':  # not yet there, while a worker unpacks this
            raise AttributeError(name)
        return getattr(self.step, name)

    def __call__(self, results: dict) -> dict:
        """Load a map.

        Raises:
            DataError: It holds something else than classes, or is not of its image's size.
        """
        results = self.step(results)
        path = results['seg_map_path']
        if '://' not in path and self._is_odd(results['gt_seg_map'], results.get('ori_shape'), path):
            try:
                _read(results, self.dataset, self.where)
            except UserError as error:
                raise DataError(str(error)) from error
        return results

    def _is_odd(self, found: np.ndarray, size: tuple[int, int] | None, path: str) -> bool:
        count = len(self.dataset.metainfo.get('classes') or ())
        if found.shape != (size or found.shape) or path.lower().endswith(('.tif', '.tiff')):
            return True
        if path.endswith('.png'):
            with open(path, 'rb') as file:
                if file.read(25)[24:] == b'\x10':
                    return True
        return bool(count and ((found >= count) & (found != _IGNORED) & (found != self.dataset.ignore_index)).any())


def load_sample(dataset: Any, index: int) -> Any:
    """Take a sample of a dataset.

    Raises:
        UnreadableImage: Its image is unreadable, or its map, of which mmseg's loader raises whatever the decoder does.
        UserError: The dataset raised it.
        Exception: Likewise.
    """
    try:
        return dataset[index]
    except (UnreadableImage, UserError):
        raise
    except Exception as error:
        info: dict[str, Any] = dataset.get_data_info(index) if hasattr(dataset, 'get_data_info') else {}
        path = info.get('seg_map_path')
        if not path or '://' in path:
            raise
        try:
            _decode(path, 'pillow')
        except UnreadableImage as unreadable:
            raise unreadable from error
        raise


def _steps(dataset: Any) -> Sequence[Any]:
    return getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
