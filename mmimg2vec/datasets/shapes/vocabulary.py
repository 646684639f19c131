"""Words and class statistics of the Shapes world.

A class of natural images is a conjunction of cues, none of them certain: an outline with parts, a texture and a
color that are typical. The tables below state what is typical and how often; everything else about a scene
(ground, light, scale, rotation, occlusion) is drawn without looking at the class. All numbers are the project's
choice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: Class names in alphabetical order, which is also the order that ``ImageNet`` gives to folders.
#: Use as ``metainfo=dict(classes=CLASSES)``.
CLASSES = (
    'ball',
    'butterfly',
    'fish',
    'flower',
    'gear',
    'house',
    'key',
    'leaf',
    'mushroom',
    'star',
)

#: Names of the segmentation layout: the ground is a class, as wall and floor are in ADE20K.
SEGMENTATION_CLASSES = ('ground', *CLASSES)

#: One color per segmentation class (RGB), for ``metainfo=dict(palette=SEGMENTATION_PALETTE)``.
SEGMENTATION_PALETTE = (
    (70, 70, 70),
    (230, 25, 75),
    (145, 30, 180),
    (0, 130, 200),
    (240, 50, 230),
    (170, 170, 170),
    (170, 90, 40),
    (255, 225, 25),
    (60, 180, 75),
    (245, 130, 48),
    (70, 240, 240),
)


class Traits(NamedTuple):
    """What is typical of a class; of two words the more frequent one comes first."""

    textures: tuple[str, str]
    colors: tuple[str, str]
    accent: str  # color of the second part: a flower's center, a house's roof
    period: float  # size of the texture's elements, as a share of the object's radius


TRAITS = {
    'ball': Traits(('checked', 'striped'), ('red', 'blue'), 'yellow', 0.44),
    'butterfly': Traits(('ringed', 'wavy'), ('purple', 'orange'), 'yellow', 0.30),
    'fish': Traits(('scaly', 'striped'), ('orange', 'blue'), 'orange', 0.26),
    'flower': Traits(('plain', 'ringed'), ('pink', 'yellow'), 'yellow', 0.36),
    'gear': Traits(('hatched', 'grainy'), ('grey', 'brown'), 'grey', 0.30),
    'house': Traits(('bricked', 'plain'), ('brown', 'red'), 'red', 0.36),
    'key': Traits(('grainy', 'plain'), ('yellow', 'grey'), 'grey', 0.20),
    'leaf': Traits(('veined', 'grainy'), ('green', 'brown'), 'brown', 0.34),
    'mushroom': Traits(('dotted', 'wavy'), ('red', 'turquoise'), 'yellow', 0.42),
    'star': Traits(('striped', 'dotted'), ('yellow', 'turquoise'), 'turquoise', 0.24),
}

#: Chance of the first and the second typical texture; otherwise any texture.
TEXTURE_SHARES = (0.70, 0.18)
#: Chance of the first and the second typical color; otherwise any color.
COLOR_SHARES = (0.50, 0.25)
#: Chance of the typical accent; otherwise any color.
ACCENT_SHARE = 0.6


def draw_word(
    rng: np.random.Generator,
    typical: tuple[str, ...],
    shares: tuple[float, ...],
    words: tuple[str, ...],
) -> str:
    """Draw each ``typical`` word with its share, and otherwise any of ``words`` alike."""
    chance, other = rng.random(), words[int(rng.integers(len(words)))]
    for word, share in zip(typical, shares, strict=True):
        if chance < share:
            return word
        chance -= share
    return other
