"""Colors and surfaces: one textured object on a patch of its own, or a ground. Images here are planar, (3, H, W)."""

from __future__ import annotations

import colorsys
import math
from typing import NamedTuple

import cv2
import numpy as np

from mmimg2vec.datasets.shapes.silhouettes import draw_parts
from mmimg2vec.datasets.shapes.textures import texture_field
from mmimg2vec.datasets.shapes.vocabulary import (
    ACCENT_SHARE,
    COLOR_NAMES,
    COLOR_SHARES,
    COLORS,
    TEXTURE_SHARES,
    TEXTURES,
    TRAITS,
    draw_word,
)


class PaintedObject(NamedTuple):
    """An object alone; the patch's middle pixel is the one that holds the object's center."""

    paint: np.ndarray  # (3, N, N) float32, BGR
    cover: np.ndarray  # (N, N) float32 in [0, 1]
    texture: str
    color: str


def any_of(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    """One of the words, all alike."""
    return words[int(rng.integers(len(words)))]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is uniform."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def draw_color(rng: np.random.Generator, name: str) -> np.ndarray:
    """A color near the named one: float32 (3, 1, 1), BGR in [0, 1]."""
    degrees, saturation, value = COLORS[name]
    hue = (degrees + rng.normal(0, 7)) / 360 % 1.0
    saturation = min(max(saturation + rng.normal(0, 0.08), 0.0), 1.0)
    value = min(max(value + rng.normal(0, 0.08), 0.2), 1.0)
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return np.array([blue, green, red], dtype=np.float32)[:, None, None]


def draw_partner(rng: np.random.Generator, first: np.ndarray) -> np.ndarray:
    """The second color of a texture: a darker or lighter shade or another color, at a random contrast."""
    other = draw_color(rng, any_of(rng, COLOR_NAMES))
    darker, lighter = first * rng.uniform(0.3, 0.6), 1 - (1 - first) * 0.35
    shade = darker if rng.random() < 0.5 else lighter
    second = other if rng.random() < 0.35 else shade
    return first + rng.uniform(0.6, 1.0) * (second - first)


def paint_surface(
    rng: np.random.Generator,
    texture: str,
    first: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    period: float,
) -> np.ndarray:
    """A texture in two colors, float32 (3, H, W).

    Args:
        rng: Source of the second color and of noise.
        texture: One of ``TEXTURES``.
        first: Color (3, 1, 1).
        x: Horizontal pixels in the surface's own frame, (H, W).
        y: Vertical ones.
        period: Size of the texture's elements in pixels.
    """
    second = draw_partner(rng, first)
    return first + texture_field(texture, x / period, y / period, rng, period) * (second - first)


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
