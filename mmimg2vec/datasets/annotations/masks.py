"""Masks of COCO annotations: polygons and run lengths, and what is wrong with them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def usable_polygons(segmentation: list) -> list[list[float]]:
    """The parts that are polygons: at least three corners, x and y of each."""
    return [
        part
        for part in segmentation
        if isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0 and all(map(_is_number, part))
    ]


def mask_problem(segmentation: Any, height: int | None, width: int | None, decode: bool = True) -> str | None:
    """Why no object can be drawn from a mask, or None.

    Args:
        segmentation: A list of polygons, or run lengths (RLE) with ``size`` and ``counts``.
        height: Of the image; None: not known.
        width: Likewise.
        decode: Whether compressed run lengths are decoded.
    """
    if segmentation in (None, [], {}):
        return 'no mask'
    if isinstance(segmentation, dict):
        return _rle_problem(segmentation, height, width, decode)
    if not isinstance(segmentation, list):
        return f'a mask that is neither polygons nor run lengths ({type(segmentation).__name__})'
    if all(_is_number(number) for number in segmentation):
        return 'one list of numbers in place of a list of polygons'
    if usable_polygons(segmentation):
        return None
    first = segmentation[0]
    count = len(first) if isinstance(first, list) else 0
    if count == 4:
        return 'a box (4 numbers) in place of a polygon'
    return f'a polygon of {count} numbers; x1, y1, x2, y2, ... of three corners and more are expected'


def polygon_extent(polygons: list[list[float]]) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 around polygons."""
    xs = [x for part in polygons for x in part[::2]]
    ys = [y for part in polygons for y in part[1::2]]
    return min(xs), min(ys), max(xs), max(ys)


def polygon_area(polygons: list[list[float]]) -> float:
    """Sum of the areas of polygons, by Gauss's formula, in pixels."""
    total = 0.0
    for part in polygons:
        x, y = np.asarray(part[::2]), np.asarray(part[1::2])
        total += abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2
    return total


def rle_box_and_area(segmentation: dict) -> tuple[list[float], float]:
    """Box (x, y, width, height) and area of run lengths, by pycocotools."""
    from pycocotools import mask

    size = segmentation['size']
    rle = segmentation if isinstance(segmentation['counts'], str) else mask.frPyObjects(segmentation, *size)
    return [float(number) for number in mask.toBbox(rle)], float(mask.area(rle))


def _rle_problem(segmentation: dict, height: int | None, width: int | None, decode: bool) -> str | None:
    size, counts = segmentation.get('size'), segmentation.get('counts')
    if not isinstance(counts, (str, list)) or not isinstance(size, list) or len(size) != 2:
        return 'run lengths without "size" and "counts"'
    if height and width and size != [height, width]:
        return f'run lengths for {size[0]} x {size[1]} px, and the image has {height} x {width} (height x width)'
    if isinstance(counts, str):
        return _decoding_problem(segmentation) if decode else None
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        return 'run lengths that are no whole numbers from 0'
    if sum(counts) != size[0] * size[1]:
        return f'run lengths that do not add up to {size[0]} x {size[1]} px'
    return None


def _decoding_problem(segmentation: dict) -> str | None:
    """Why pycocotools cannot decode compressed run lengths, or None."""
    from pycocotools import mask

    try:
        mask.decode(segmentation)
    except (ValueError, OverflowError, TypeError) as error:
        return f'compressed run lengths that cannot be decoded ({error})'
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
