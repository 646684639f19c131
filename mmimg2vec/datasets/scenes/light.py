"""Light on a scene: shading, shadows, exposure."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from mmimg2vec.datasets.scenes.scene import as_picture
from mmimg2vec.datasets.scenes.textures import smooth_noise


class Light(NamedTuple):
    """Where the light of a scene comes from, and how strongly it shades."""

    toward: tuple[float, float]  # unit vector in the image plane
    shading: float
    shadow: float  # darkness in [0, 1]
    reach: float  # length of shadows, in radii

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Light:
        """Draw a light."""
        angle = rng.uniform(0, 2 * math.pi)
        toward = (math.cos(angle), math.sin(angle))
        return cls(toward, rng.uniform(0.05, 0.5), rng.uniform(0.0, 0.6), rng.uniform(0.08, 0.32))


def cast_shadow(cover: np.ndarray, radius: float, light: Light) -> np.ndarray:
    """(N, M) float32 factor by which the object darkens what lies under it."""
    x, y = (-light.reach * radius * part for part in light.toward)
    moved = cv2.warpAffine(cover, np.array([[1, 0, x], [0, 1, y]], np.float32), cover.shape[::-1])
    width = 2 * int(0.08 * radius) + 1
    return 1 - light.shadow * cv2.blur(moved, (width, width))


def expose(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """What light and camera do to the whole picture ``(3, H, W)``; returns uint8 (H, W, 3)."""
    _, height, width = image.shape
    fall = smooth_noise(rng, (height, width), 0.6 * height) - 0.5
    cast = np.exp(rng.normal(0, 0.14, 3) + rng.normal(0, 0.22)).astype(np.float32)
    image = image * (1 + rng.uniform(0.0, 0.7) * fall) * cast[:, None, None]
    pivot = rng.uniform(0.3, 0.6)
    image = pivot + (image - pivot) * rng.uniform(0.6, 1.1)
    image += rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(0.005, 0.035)
    return as_picture(image)
