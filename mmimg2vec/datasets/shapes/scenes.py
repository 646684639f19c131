"""One scene: what is in it, how it is lit, and which pixel belongs to which object.

``draw_scene(seed, index, size)`` is a pure function of its arguments; numpy and OpenCV only. Scene ``index`` does
not depend on how many scenes are asked for.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from mmimg2vec.datasets.shapes.painting import (
    any_of,
    draw_color,
    log_uniform,
    paint_object,
    paint_surface,
)
from mmimg2vec.datasets.shapes.textures import smooth_noise
from mmimg2vec.datasets.shapes.vocabulary import (
    CLASSES,
    COLOR_NAMES,
    GROUND_TEXTURES,
    with_article,
)


class SceneObject(NamedTuple):
    """One object of a scene, with the words that describe it."""

    class_index: int  # into CLASSES
    texture: str
    color: str
    center: tuple[float, float]  # x, y in pixels
    radius: float  # pixels
    full_area: int  # pixels of the whole object, hidden and out-of-frame ones too
    framing: tuple[float, float, float]  # how a crop frames it: width, place across and down, in [0, 1)


class Scene(NamedTuple):
    """A rendered scene."""

    image: np.ndarray  # (H, W, 3) uint8, BGR
    owners: np.ndarray  # (H, W) int16: index of the object that is seen there, -1 is ground
    objects: tuple[SceneObject, ...]  # from the farthest to the nearest
    ground_texture: str
    ground_color: str

    def visible_mask(self, index: int) -> np.ndarray:
        """(H, W) bool: where object ``index`` is seen."""
        return self.owners == index

    def caption(self, index: int) -> str:
        """E.g. ``'a striped red star on a dotted ground'``."""
        return f'{self.object_phrase(index)} on {self.ground_phrase()}'

    def object_phrase(self, index: int) -> str:
        """E.g. ``'a striped red star'``."""
        item = self.objects[index]
        return with_article(f'{item.texture} {item.color} {CLASSES[item.class_index]}')

    def ground_phrase(self) -> str:
        """E.g. ``'a dotted ground'``."""
        return with_article(f'{self.ground_texture} ground')


class _Light(NamedTuple):
    toward: tuple[float, float]  # unit vector in the image plane
    shading: float
    shadow: float  # darkness in [0, 1]
    reach: float  # length of shadows, in radii

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Light:
        angle = rng.uniform(0, 2 * math.pi)
        toward = (math.cos(angle), math.sin(angle))
        return cls(toward, rng.uniform(0.05, 0.5), rng.uniform(0.0, 0.6), rng.uniform(0.08, 0.32))


def _paint_ground(rng: np.random.Generator, texture: str, color: str, size: int) -> np.ndarray:
    """(3, H, W) float32. A ground lies behind: paler than the objects, and more or less out of focus."""
    pixels = np.arange(size, dtype=np.float32)
    columns, rows = pixels[None], pixels[:, None]
    angle = rng.uniform(0, 2 * math.pi)
    x = math.cos(angle) * columns + math.sin(angle) * rows - rng.uniform(0, size)
    y = math.cos(angle) * rows - math.sin(angle) * columns - rng.uniform(0, size)
    first = draw_color(rng, color)
    image = paint_surface(rng, texture, first, x, y, size * log_uniform(rng, 0.035, 0.14))
    image = first + rng.uniform(0.2, 0.7) * (image - first)
    blur = size * rng.uniform(0.002, 0.012)
    return np.stack([cv2.GaussianBlur(plane, (0, 0), blur) for plane in image])


def _place(rng: np.random.Generator, radii: list[float], size: int) -> list[tuple[float, float]]:
    """Center that mostly keep clear of each other: overlaps happen, pile-ups are rare."""
    centers: list[tuple[float, float]] = []
    for radius in radii:
        for _ in range(4):
            x, y = rng.uniform(0.06 * size, 0.94 * size, 2).tolist()
            gaps = (math.hypot(x - u, y - v) / (radius + other) for (u, v), other in zip(centers, radii, strict=False))
            if min(gaps, default=1.0) > 0.6:
                break
        centers.append((x, y))
    return centers


def _cast_shadow(cover: np.ndarray, radius: float, light: _Light) -> np.ndarray:
    """(N, N) float32 factor by which the object darkens what lies under it."""
    x, y = (-light.reach * radius * part for part in light.toward)
    moved = cv2.warpAffine(cover, np.array([[1, 0, x], [0, 1, y]], np.float32), cover.shape[::-1])
    width = 2 * int(0.08 * radius) + 1
    return 1 - light.shadow * cv2.blur(moved, (width, width))


def _expose(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """What light and camera do to the whole picture; returns uint8 (H, W, 3)."""
    _, height, width = image.shape
    fall = smooth_noise(rng, (height, width), 0.6 * height) - 0.5
    cast = np.exp(rng.normal(0, 0.14, 3) + rng.normal(0, 0.22)).astype(np.float32)
    image = image * (1 + rng.uniform(0.0, 0.7) * fall) * cast[:, None, None]
    pivot = rng.uniform(0.3, 0.6)
    image = pivot + (image - pivot) * rng.uniform(0.6, 1.1)
    image += rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(0.005, 0.035)
    picture = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(picture.transpose(1, 2, 0))


def draw_scene(seed: int, index: int, size: int = 160) -> Scene:
    """Draw scene ``index`` of the world ``seed``.

    Args:
        seed: Which world; non-negative.
        index: Which scene of it; non-negative.
        size: Height and width of the image in pixels.
    """
    rng = np.random.default_rng([seed, index])
    ground_texture, ground_color = any_of(rng, GROUND_TEXTURES), any_of(rng, COLOR_NAMES)
    image = _paint_ground(rng, ground_texture, ground_color, size)
    light = _Light.draw(rng)
    owners = np.full((size, size), -1, np.int16)
    radii = [size * log_uniform(rng, 0.10, 0.21) for _ in range(int(rng.integers(3, 7)))]
    objects: list = []
    for radius, (x, y) in zip(radii, _place(rng, radii, size), strict=True):
        class_index = int(rng.integers(len(CLASSES)))
        column, row = int(x), int(y)
        toward = (light.shading * light.toward[0], light.shading * light.toward[1])
        drawn = paint_object(rng, CLASSES[class_index], radius, (x - column, y - row), toward)
        # the patch's window in the scene, and the part of the patch that falls into it
        half = drawn.cover.shape[0] // 2
        left, top = column - half, row - half
        rows = slice(max(0, top), min(size, row + half + 1))
        columns = slice(max(0, left), min(size, column + half + 1))
        window = (
            slice(rows.start - top, rows.stop - top),
            slice(columns.start - left, columns.stop - left),
        )
        alpha, below = drawn.cover[window], image[:, rows, columns]
        below *= _cast_shadow(drawn.cover, radius, light)[window]
        below += alpha * (drawn.paint[:, window[0], window[1]] - below)
        owners[rows, columns][alpha > 0.5] = len(objects)
        area = int((drawn.cover > 0.5).sum())
        across, down, width = rng.random(3).tolist()
        objects.append(
            SceneObject(
                class_index,
                drawn.texture,
                drawn.color,
                (x, y),
                radius,
                area,
                (width, across, down),
            )
        )
    return Scene(_expose(rng, image), owners, tuple(objects), ground_texture, ground_color)
