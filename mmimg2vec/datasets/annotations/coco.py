"""One pass over an annotation file in COCO's format, before anything is trained or scored with it.

What can be mended without guessing is mended, and said; everything else is an error that names file, annotation and
cure. Degenerate objects (no extent, outside their image, flat) are in good files too, COCO's own among them, and mmdet
leaves them out: up to 1 % of a file's objects are said only (the project's choice).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mmimg2vec.datasets.annotations.objects import Objects
from mmimg2vec.errors import UserError
from mmimg2vec.utils.mistaken_files import kind_of

#: Finds the (height, width) of an image by its ``file_name``, as the loader gives it; None where it cannot be read.
SizeOf = Callable[[str], 'tuple[int, int] | None']


def mend_coco(path: str | Path, masks: bool, scored: bool, size_of: SizeOf) -> tuple[dict[str, Any], bool, list[str]]:
    """Check an annotation file, and mend what can be mended.

    Args:
        path: The file.
        masks: Masks are trained or scored, not boxes alone.
        scored: Predictions are compared with it.
        size_of: For images whose size the file does not name.

    Returns:
        The content, whether it was mended, and what was mended or will be left out.

    Raises:
        UserError: Something cannot be mended.
    """
    path = Path(path)
    content, has_mark = read_json(path)
    _check_lists(content, path)
    mended = ['byte order mark removed'] if has_mark else []
    _check_categories(content, path)
    mended += _mend_images(content, path, size_of)
    if not content['annotations']:
        purpose = 'score against' if scored else 'train on'
        raise UserError(f'{path} has no annotations: there is nothing to {purpose}, name another ann_file')
    objects = Objects(content, path, masks)
    mended += objects.mend()
    left_out = objects.check()
    return content, bool(mended), [*mended, *left_out]


def read_json(path: Path) -> tuple[Any, bool]:
    """Content of a JSON file, and whether a byte order mark stood in front.

    Raises:
        UserError: It is no such file; says what it is instead, where that can be seen.
    """
    data = path.read_bytes()
    head = data[:200].lstrip(b'\xef\xbb\xbf \t\r\n')
    kind = kind_of(data)
    if kind is not None:
        raise UserError(f'{path} is {kind}')
    try:
        return json.loads(data.decode('utf-8-sig')), data.startswith(b'\xef\xbb\xbf')
    except UnicodeDecodeError as error:
        raise UserError(f'{path} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8') from error
    except json.JSONDecodeError as error:
        cut = head[:1] in (b'{', b'[') and not data.rstrip().endswith((b'}', b']'))
        if error.msg == 'Extra data' and error.doc[error.pos] == '{':
            raise UserError(
                f'{path} is JSON lines, an object on each: COCO has one object with "images", "annotations" and '
                '"categories"; convert it'
            ) from error
        cut = cut or error.pos >= len(error.doc.rstrip())
        what = 'ends in the middle (cut short): copy or download it again' if cut else f'is no JSON ({error}): mend it'
        raise UserError(f'{path} {what}') from error


def _check_lists(content: Any, path: Path) -> None:
    if isinstance(content, list):
        raise UserError(
            f'{path} is a bare list of {len(content)} entries: COCO has an object with "images", "annotations" and '
            '"categories"; convert it'
        )
    for key in ('images', 'annotations', 'categories'):
        value = content.get(key) if isinstance(content, dict) else None
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise UserError(
                f'{path} has no list "{key}": COCO has "images", "annotations" and "categories"; add it, or name '
                'another ann_file'
            )
    for key in ('images', 'categories'):
        if not content[key]:
            raise UserError(f'the list "{key}" of {path} is empty: fill it, or name another ann_file')


def _check_categories(content: dict, path: Path) -> None:
    for category in content['categories']:
        if 'id' not in category or category.get('name') is None:
            raise UserError(f'{path} has a category without "id" or "name" ({category}): add it')
        if not isinstance(category['name'], str):
            raise UserError(f'{path} has a category whose name is no text ({category}): write it in quotes')
    for key in ('id', 'name'):
        double = _double(category[key] for category in content['categories'])
        if double is not None:
            raise UserError(f'{path} has two categories of the {key} {double!r}: give each its own, or join them')


def _mend_images(content: dict, path: Path, size_of: SizeOf) -> list[str]:
    mended = 0
    for image in content['images']:
        if 'id' not in image or not isinstance(image.get('file_name'), str):
            raise UserError(f'{path} has an image without "id" or "file_name" ({str(image)[:80]}): add it')
        if all(isinstance(image.get(key), int) and image[key] > 0 for key in ('height', 'width')):
            continue
        mended += 1
        height, width = (_whole(image.get(key)) for key in ('height', 'width'))
        given = size_of(image['file_name']) if height is None or width is None else (height, width)
        if given is None:
            raise UserError(
                f'{path}: image {image["id"]} ({image["file_name"]}) has no "height" and "width", and the file cannot '
                'be read: add them, or mend the image'
            )
        image['height'], image['width'] = (int(number) for number in given)
    double = _double(image['id'] for image in content['images'])
    if double is not None:
        raise UserError(f'{path} has two images of the id {double!r}: give each its own')
    double = _double(image['file_name'] for image in content['images'])
    if double is not None:
        ids = ', '.join(repr(image['id']) for image in content['images'] if image['file_name'] == double)
        raise UserError(f'{path} lists the image {double} more than once (ids {ids}): join the entries')
    return [f'height and width of {mended} images written as numbers or taken from the files'] if mended else []


def _whole(value: Any) -> int | None:
    """A positive whole number, also where it is written as text or with a fraction of nothing."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number > 0 and number.is_integer() else None


def _double(values: Iterable[Any]) -> Any:
    return next((value for value, count in Counter(values).items() if count > 1), None)
