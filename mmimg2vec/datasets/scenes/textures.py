"""Textures as pure functions of coordinates: ``(u, v) -> field in [0, 1]``, in units of the texture's period."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Field = np.ndarray


def _step(x: Field, sharpness: float = 3.0) -> Field:
    """A soft step of ``x`` from 0 to 1 around zero (soft, so that edges are not aliased)."""
    return np.clip(0.5 + sharpness * x, 0.0, 1.0)


def _wave(x: Field) -> Field:
    return np.sin(2 * np.pi * x)


def _bricked(u: Field, v: Field) -> Field:
    row = np.floor(v)
    across = np.abs((u * 0.55 + 0.5 * row) % 1.0 - 0.5)
    along = np.abs(v % 1.0 - 0.5)
    return np.maximum(_step(across - 0.42, 8.0), _step(along - 0.36, 8.0))


def _checked(u: Field, v: Field) -> Field:
    return _step(_wave(u * 0.5) * _wave(v * 0.5))


def _dotted(u: Field, v: Field) -> Field:
    shifted = u + 0.5 * np.floor(v)
    distance = np.hypot(shifted % 1.0 - 0.5, v % 1.0 - 0.5)
    return _step(0.30 - distance, 6.0)


def _hatched(u: Field, v: Field) -> Field:
    lines = np.minimum(np.abs(u % 1.0 - 0.5), np.abs(v % 1.0 - 0.5))
    return _step(0.12 - lines, 6.0)


def _ringed(u: Field, v: Field) -> Field:
    return _step(_wave(np.hypot(u, v)))


def _scaly(u: Field, v: Field) -> Field:
    row = np.floor(v)
    distance = np.hypot((u + 0.5 * row) % 1.0 - 0.5, v - row)
    return np.clip((distance % 0.62) / 0.62, 0.0, 1.0) ** 2


def _striped(u: Field, v: Field) -> Field:
    return _step(_wave(u))


def _veined(u: Field, v: Field) -> Field:
    side = np.abs((u * 0.8 - np.abs(v) * 0.8) % 1.0 - 0.5)
    return np.maximum(_step(0.13 - side, 6.0), _step(0.14 - np.abs(v), 6.0))


def _wavy(u: Field, v: Field) -> Field:
    return _step(_wave(u + 0.32 * _wave(v * 0.5)))


_PATTERNS: dict[str, Callable[[Field, Field], Field]] = {
    'bricked': _bricked,
    'checked': _checked,
    'dotted': _dotted,
    'hatched': _hatched,
    'ringed': _ringed,
    'scaly': _scaly,
    'striped': _striped,
    'veined': _veined,
    'wavy': _wavy,
}


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> Field:
    """Random values on a grid of ``cell`` pixels, interpolated to ``shape`` (H, W); in [0, 1]."""
    rows, columns = (max(2, int(np.ceil(side / cell)) + 1) for side in shape)
    coarse = rng.random((rows, columns), dtype=np.float32)
    return np.clip(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), 0.0, 1.0)


def texture_field(name: str, u: Field, v: Field, rng: np.random.Generator, period: float) -> Field:
    """The field of one texture.

    Args:
        name: One of ``vocabulary.TEXTURES``.
        u: Horizontal coordinates in periods, float32 (H, W).
        v: Vertical coordinates in periods, float32 (H, W).
        rng: Source of the two noise textures.
        period: Pixels per period, which sets the grain of the noise textures.

    Returns:
        float32 (H, W) in [0, 1]: 0 is the first color, 1 the second.
    """
    if name == 'grainy':
        return _step(smooth_noise(rng, u.shape, max(1.5, 0.3 * period)) - 0.5, 1.6)
    if name == 'plain':
        return 0.35 * smooth_noise(rng, u.shape, 2.5 * period)
    return _PATTERNS[name](u, v).astype(np.float32)
