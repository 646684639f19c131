"""Colors and surfaces: textures in two colors, and grounds. Images here are planar, (3, H, W)."""

from __future__ import annotations

import colorsys
import math

import cv2
import numpy as np

from mmimg2vec.datasets.scenes.scene import any_of, log_uniform
from mmimg2vec.datasets.scenes.textures import texture_field

TEXTURES = (
    'bricked',
    'checked',
    'dotted',
    'grainy',
    'hatched',
    'plain',
    'ringed',
    'scaly',
    'striped',
    'veined',
    'wavy',
)

#: Textures of grounds, which are stuff rather than things: less varied than those of objects.
GROUND_TEXTURES = ('dotted', 'grainy', 'plain', 'striped', 'wavy')

#: Color name to the center of its (hue in degrees, saturation, value).
COLORS = {
    'red': (2, 0.80, 0.78),
    'orange': (26, 0.85, 0.92),
    'yellow': (52, 0.80, 0.95),
    'green': (115, 0.62, 0.62),
    'turquoise': (176, 0.62, 0.75),
    'blue': (218, 0.72, 0.78),
    'purple': (276, 0.58, 0.68),
    'pink': (328, 0.50, 0.93),
    'brown': (24, 0.60, 0.48),
    'grey': (210, 0.08, 0.60),
}


COLOR_NAMES = tuple(COLORS)


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


def paint_ground(rng: np.random.Generator, texture: str, color: str, size: int) -> np.ndarray:
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
