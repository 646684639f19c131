"""One textured object on a patch of its own. Images here are planar, (3, H, W)."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from mmimg2vec.datasets.scenes.surfaces import COLOR_NAMES, TEXTURES, draw_color, paint_surface
from mmimg2vec.datasets.shapes.silhouettes import draw_parts
from mmimg2vec.datasets.shapes.vocabulary import (
    ACCENT_SHARE,
    COLOR_SHARES,
    TEXTURE_SHARES,
    TRAITS,
    draw_word,
)


class PaintedObject(NamedTuple):
    """An object alone; the patch's middle pixel is the one that holds the object's center."""

    paint: np.ndarray  # (3, N, N) float32, BGR
    cover: np.ndarray  # (N, N) float32 in [0, 1]
    texture: str
    color: str


def _fill(side: int, points: np.ndarray) -> np.ndarray:
    """Anti-aliased cover of a polygon given in pixels: float32 (side, side) in [0, 1]."""
    cover = np.zeros((side, side), np.uint8)
    fixed = np.round(points * 16).astype(np.int32)  # 4 fractional bits
    cv2.fillPoly(cover, [fixed], 255, lineType=cv2.LINE_AA, shift=4)
    return cover.astype(np.float32) / 255


def paint_object(
    rng: np.random.Generator,
    name: str,
    radius: float,
    offset: tuple[float, float],
    light: tuple[float, float],
) -> PaintedObject:
    """Draw a new individual of class ``name``.

    Args:
        rng: Source of everything that varies.
        name: One of ``CLASSES``.
        radius: Of the circle around the object, in pixels.
        offset: Where in its pixel the center lies, each in [0, 1).
        light: Direction (x, y) towards the light; its length is the strength of the shading.
    """
    traits = TRAITS[name]
    texture = draw_word(rng, traits.textures, TEXTURE_SHARES, TEXTURES)
    color = draw_word(rng, traits.colors, COLOR_SHARES, COLOR_NAMES)
    accent = draw_word(rng, (traits.accent,), (ACCENT_SHARE,), COLOR_NAMES)
    half = math.ceil(1.4 * radius) + 2
    side = 2 * half + 1

    # own frame -> pixels: mirror, stretch, shear, rotate, enlarge
    angle, stretch = rng.normal(0, 0.6), math.exp(rng.normal(0, 0.10))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    warp = turn @ np.array([[mirror * stretch, rng.normal(0, 0.12)], [0.0, 1 / stretch]])
    center = half + np.array(offset)
    pixels = np.arange(side, dtype=np.float32)
    across, down = pixels[None] - float(center[0]), pixels[:, None] - float(center[1])
    (a, b), (c, d) = np.linalg.inv(warp).tolist()
    period = radius * traits.period * math.exp(rng.normal(0, 0.12))
    first = draw_color(rng, color)
    paint = paint_surface(rng, texture, first, a * across + b * down, c * across + d * down, period)

    fills = {
        'accent': draw_color(rng, accent),
        'dark': np.full((3, 1, 1), 0.09, np.float32),
    }
    cover = np.zeros((side, side), np.float32)
    for part in draw_parts(name, rng):
        alpha = _fill(side, part.points @ (radius * warp).T + center)
        if part.role == 'hole':
            cover *= 1 - alpha
            continue
        cover = np.maximum(cover, alpha)
        if part.role != 'body':
            paint += alpha * (fills[part.role] - paint)
    shade = 1 + across * (light[0] / radius) + down * (light[1] / radius)
    return PaintedObject(paint * np.clip(shade, 0.25, 1.75), cover, texture, color)
