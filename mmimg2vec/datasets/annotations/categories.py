"""Categories of annotation files, without the libraries that train on them."""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Sequence
from pathlib import Path

from mmimg2vec.errors import UserError

# The heads of mmpretrain, mmdet and mmseg that are as wide as the class list; a region proposal head has one class.
_CLASS_HEAD = re.compile(r'(?:^|\.)(?:head|decode_head|auxiliary_head|bbox_head|mask_head)(?:\.\d+)?$')

_OUTLINE = re.compile(rb'"segmentation"\s*:\s*(?:\[\s*\[\s*[\d.-]|\{)')


def is_class_head(name: str) -> bool:
    """Whether a part of a model by this dotted name predicts the classes of the dataset."""
    return _CLASS_HEAD.search(name) is not None


def coco_categories(ann_file: str | Path) -> dict[int, str]:
    """Category id -> name, in the order of a COCO annotation file, without reading its annotations.

    Raises:
        UserError: The file has no list of categories.
    """
    with open(ann_file, 'rb') as file:
        if Path(ann_file).stat().st_size:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                position = content.rfind(b'"categories"')
                while position >= 0:
                    found = _decode_list(content, position + len(b'"categories"'))
                    if found is not None and all('id' in c and 'name' in c for c in found):
                        return {category['id']: category['name'] for category in found}
                    position = content.rfind(b'"categories"', 0, position)
    raise UserError(f'{ann_file} has no list of categories: name an annotation file in COCO format as ann_file')


def has_polygons(ann_file: str | Path) -> bool:
    """Whether a COCO annotation file has the outline of an object, a polygon or run lengths, beside the boxes."""
    with open(ann_file, 'rb') as file:
        if not Path(ann_file).stat().st_size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _OUTLINE.search(content) is not None


def category_problem(names: Sequence[str], classes: Sequence[str], ann_file: str | Path) -> str | None:
    """What mmdet would do wrong with these categories in silence, or None.

    It leaves out a class that the file does not have, and numbers the others in the order of the file, whatever the
    order of the class list.

    Args:
        names: Categories in the file, in its order.
        classes: Class list of the config.
        ann_file: The file, for the message.
    """
    unknown = [name for name in classes if name not in names]
    if unknown:
        return (
            f'{ann_file} has no category {", ".join(map(_shown, unknown))} (it has {_some(names)}): correct '
            'metainfo.classes, or name another ann_file'
        )
    ordered = [name for name in names if name in classes]
    if ordered != list(classes):
        return (
            f'metainfo.classes has another order than the categories of {ann_file} ({_some(ordered)}), by which mmdet '
            'numbers them: write them in the order of the file'
        )
    return None


def _decode_list(content: mmap.mmap, position: int) -> list[dict] | None:
    """The JSON list of objects that follows a key, or None."""
    size = 1 << 20
    while True:
        text = content[position : position + size].decode('utf-8', errors='ignore')
        begin = re.match(r'\s*:\s*', text)
        if begin is None:
            return None
        try:
            value, _ = json.JSONDecoder().raw_decode(text, begin.end())
        except ValueError:
            if position + size >= len(content):
                return None
            size *= 8  # the list goes on
            continue
        good = isinstance(value, list) and all(isinstance(item, dict) for item in value)
        return value if good else None


def _some(names: Sequence[str], count: int = 8) -> str:
    return ', '.join(map(_shown, names[:count])) + (' ...' if len(names) > count else '')


def _shown(name: str) -> str:
    """The name, in quotes where spaces around it would not be seen."""
    return name if name == name.strip() else repr(name)
