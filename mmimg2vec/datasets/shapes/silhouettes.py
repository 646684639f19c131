"""Outlines and parts of the ten classes, as polygons in the unit circle of the object's own frame.

Every function draws a new individual: counts, proportions and bends vary, what makes the class does not.
The y axis points down, as in images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Part(NamedTuple):
    """One polygon of an object.

    ``role`` is 'body' (typical texture and color), 'accent' (a second color), 'dark' (an eye, a door) or 'hole'
    (the ground shows through). Later parts lie over earlier ones.
    """

    points: np.ndarray  # (N, 2) float
    role: str


def _polar(radius: Callable[[np.ndarray], np.ndarray], count: int = 72) -> np.ndarray:
    angle = np.linspace(0.0, 2 * np.pi, count, endpoint=False)
    r = radius(angle) * np.ones_like(angle)
    return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)


def _ellipse(cx: float, cy: float, rx: float, ry: float, count: int = 28) -> np.ndarray:
    return _polar(np.ones_like, count) * (rx, ry) + (cx, cy)


def _box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=float)


def _ball(rng: np.random.Generator) -> list[Part]:
    ratio = rng.uniform(0.88, 1.0)
    parts = [Part(_ellipse(0, 0, 0.9, 0.9 * ratio, 48), 'body')]
    if rng.random() < 0.5:
        width = rng.uniform(0.08, 0.16)
        parts.append(Part(_box(-0.86, -width, 0.86, width), 'accent'))
    return parts


def _butterfly(rng: np.random.Generator) -> list[Part]:
    upper, lower = rng.uniform(0.42, 0.55), rng.uniform(0.28, 0.42)
    tilt = rng.uniform(0.35, 0.7)
    parts = []
    for side in (-1, 1):
        for size, angle, reach in ((upper, -tilt, 0.52), (lower, tilt + 0.25, 0.42)):
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            wing = _ellipse(reach, 0, size, 0.62 * size) @ turn.T
            parts.append(Part(wing * (side, 1), 'body'))
            spot = _ellipse(reach + 0.1, 0, 0.34 * size, 0.28 * size, 16) @ turn.T
            parts.append(Part(spot * (side, 1), 'accent'))
    return [*parts, Part(_ellipse(0, 0, 0.09, rng.uniform(0.45, 0.62)), 'dark')]


def _fish(rng: np.random.Generator) -> list[Part]:
    height, fork = rng.uniform(0.36, 0.55), rng.uniform(0.1, 0.3)
    tail = [(0.4, 0.0), (0.98, -0.48), (0.98 - fork, 0.0), (0.98, 0.48)]
    fin = [(-0.2, -0.8 * height), (0.28, -0.7 * height), (0.2, -height - rng.uniform(0.12, 0.3))]
    return [
        Part(np.array(tail), 'accent'),
        Part(np.array(fin), 'accent'),
        Part(_ellipse(-0.18, 0, 0.76, height, 40), 'body'),
        Part(_ellipse(-0.6, -0.25 * height, 0.09, 0.09, 14), 'dark'),
    ]


def _flower(rng: np.random.Generator) -> list[Part]:
    petals, depth = int(rng.integers(5, 9)), rng.uniform(0.26, 0.42)
    bloom = _polar(lambda a: 0.95 - depth * (1 - np.abs(np.cos(petals * a / 2)) ** 0.7), 120)
    center = rng.uniform(0.24, 0.34)
    return [Part(bloom, 'body'), Part(_ellipse(0, 0, center, center), 'accent')]


def _gear(rng: np.random.Generator) -> list[Part]:
    teeth, depth, hole = (
        int(rng.integers(7, 12)),
        rng.uniform(0.16, 0.26),
        rng.uniform(0.2, 0.34),
    )
    wheel = _polar(lambda a: 0.95 - depth * (np.sin(teeth * a) < 0), 180)
    return [Part(wheel, 'body'), Part(_ellipse(0, 0, hole, hole), 'hole')]


def _house(rng: np.random.Generator) -> list[Part]:
    width, top = rng.uniform(0.55, 0.75), rng.uniform(-0.25, 0.05)
    eave, door = width + rng.uniform(0.08, 0.2), rng.uniform(-0.3, 0.05)
    roof = [(-eave, top), (rng.uniform(-0.15, 0.15), top - rng.uniform(0.45, 0.68)), (eave, top)]
    window = rng.uniform(0.2, 0.3)
    return [
        Part(_box(-width, top, width, 0.82), 'body'),
        Part(np.array(roof), 'accent'),
        Part(_box(door, 0.35, door + 0.26, 0.82), 'dark'),
        Part(_box(window, top + 0.15, window + 0.22, top + 0.38), 'dark'),
    ]


def _key(rng: np.random.Generator) -> list[Part]:
    bow, shaft = rng.uniform(0.34, 0.46), rng.uniform(0.09, 0.14)
    parts = [
        Part(_box(-0.3, -shaft, 0.96, shaft), 'body'),
        Part(_ellipse(-0.55, 0, bow, bow), 'body'),
        Part(_ellipse(-0.55, 0, 0.5 * bow, 0.5 * bow, 20), 'hole'),
    ]
    for x in (0.84, 0.84 - rng.uniform(0.22, 0.3), 0.3)[: int(rng.integers(2, 4))]:
        parts.append(Part(_box(x - 0.08, 0, x + 0.1, rng.uniform(0.26, 0.42)), 'body'))
    return parts


def _leaf(rng: np.random.Generator) -> list[Part]:
    width, bend = rng.uniform(0.34, 0.52), rng.uniform(-0.15, 0.15)
    x = np.linspace(-0.95, 0.7, 24)
    t = (x + 0.95) / 1.65
    half = width * np.sin(np.pi * t**0.8) ** 0.85
    middle = bend * np.sin(np.pi * t)
    blade = np.concatenate([np.stack([x, middle - half], 1), np.stack([x, middle + half], 1)[::-1]])
    return [Part(_box(0.6, -0.05, 0.98, 0.05), 'accent'), Part(blade, 'body')]


def _mushroom(rng: np.random.Generator) -> list[Part]:
    stem, flat, brim = rng.uniform(0.16, 0.28), rng.uniform(0.75, 1.0), rng.uniform(-0.1, 0.15)
    angle = np.linspace(np.pi, 2 * np.pi, 32)
    cap = np.stack([0.92 * np.cos(angle), brim + 0.85 * flat * np.sin(angle)], 1)
    return [
        Part(
            np.array([(-stem, brim), (stem, brim), (stem * 1.25, 0.92), (-stem * 1.25, 0.92)]),
            'accent',
        ),
        Part(cap, 'body'),
    ]


def _star(rng: np.random.Generator) -> list[Part]:
    points, inner = int(rng.integers(5, 7)), rng.uniform(0.38, 0.52)
    angle = np.pi * np.arange(2 * points) / points - np.pi / 2
    r = np.where(np.arange(2 * points) % 2 == 0, 0.98, inner)
    return [Part(np.stack([r * np.cos(angle), r * np.sin(angle)], 1), 'body')]


_DRAWERS: dict[str, Callable[[np.random.Generator], list[Part]]] = {
    'ball': _ball,
    'butterfly': _butterfly,
    'fish': _fish,
    'flower': _flower,
    'gear': _gear,
    'house': _house,
    'key': _key,
    'leaf': _leaf,
    'mushroom': _mushroom,
    'star': _star,
}


def draw_parts(name: str, rng: np.random.Generator) -> list[Part]:
    """The parts of one new individual of class ``name``, in drawing order."""
    return _DRAWERS[name](rng)
