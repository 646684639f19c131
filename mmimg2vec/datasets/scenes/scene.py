"""A rendered scene: what is in it, and which pixel belongs to which object."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class SceneObject(NamedTuple):
    """One object of a scene, with the words that describe it."""

    class_index: int  # into the classes of its world
    phrase: str  # such as 'striped red star'
    attributes: dict[str, str]  # what is recorded of it beside its class
    center: tuple[float, float]  # x, y in pixels
    radius: float  # pixels
    full_area: int  # pixels of the whole object, occluded and out-of-frame ones too
    framing: tuple[float, float, float]  # how a crop frames it: width, place across and down, in [0, 1)


class Scene(NamedTuple):
    """A rendered scene."""

    image: np.ndarray  # (H, W, 3) uint8, BGR
    owners: np.ndarray  # (H, W) int16: index of the object that is seen there, -1 is ground
    objects: tuple[SceneObject, ...]  # from the farthest to the nearest
    ground: dict[str, str]  # what is recorded of the ground
    ground_words: str  # such as 'dotted ground'

    def visible_mask(self, index: int) -> np.ndarray:
        """(H, W) bool: where object ``index`` is seen."""
        return self.owners == index

    def caption(self, index: int) -> str:
        """E.g. ``'a striped red star on a dotted ground'``."""
        return f'{self.object_phrase(index)} on {self.ground_phrase()}'

    def object_phrase(self, index: int) -> str:
        """E.g. ``'a striped red star'``."""
        return with_article(self.objects[index].phrase)

    def ground_phrase(self) -> str:
        """E.g. ``'a dotted ground'``."""
        return with_article(self.ground_words)


def with_article(phrase: str) -> str:
    """``'a'`` or ``'an'`` and the phrase."""
    return f'{"an" if phrase[0] in "aeiou" else "a"} {phrase}'


def any_of(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    """One of the words, all alike."""
    return words[int(rng.integers(len(words)))]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is uniform."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def place(rng: np.random.Generator, radii: list[float], size: int) -> list[tuple[float, float]]:
    """Centers that mostly keep clear of each other: overlaps happen, pile-ups are rare.

    Args:
        rng: Source of the places.
        radii: Of the objects, in pixels.
        size: Height and width of the scene in pixels.
    """
    centers: list[tuple[float, float]] = []
    for radius in radii:
        for _ in range(4):
            x, y = rng.uniform(0.06 * size, 0.94 * size, 2).tolist()
            gaps = (math.hypot(x - u, y - v) / (radius + other) for (u, v), other in zip(centers, radii, strict=False))
            if min(gaps, default=1.0) > 0.6:
                break
        centers.append((x, y))
    return centers


def paste(
    image: np.ndarray,
    owners: np.ndarray,
    index: int,
    paint: np.ndarray,
    cover: np.ndarray,
    shadow: np.ndarray,
    pixel: tuple[int, int],
) -> None:
    """Lay an object over a scene, in place; what falls out of the frame is cut off.

    Args:
        image: ``(3, H, W)`` float32 in [0, 1].
        owners: ``(H, W)`` int16.
        index: Of the object.
        paint: ``(3, n, m)`` float32, n and m odd.
        cover: ``(n, m)`` float32 in [0, 1]: how much of each pixel the object covers.
        shadow: ``(n, m)`` float32: factor by which it darkens what lies under it.
        pixel: Column and row of the scene that the middle of the patch falls on.
    """
    (height, width), (column, row) = owners.shape, pixel
    top, left = row - cover.shape[0] // 2, column - cover.shape[1] // 2
    rows = slice(max(0, top), min(height, top + cover.shape[0]))
    columns = slice(max(0, left), min(width, left + cover.shape[1]))
    window = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    alpha, below = cover[window], image[:, rows, columns]
    below *= shadow[window]
    below += alpha * (paint[:, window[0], window[1]] - below)
    owners[rows, columns][alpha > 0.5] = index


def as_picture(image: np.ndarray) -> np.ndarray:
    """``(3, H, W)`` float32 in [0, 1] -> ``(H, W, 3)`` uint8."""
    picture = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(picture.transpose(1, 2, 0))
