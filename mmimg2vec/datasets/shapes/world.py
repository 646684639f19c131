"""The Shapes world: ten kinds of drawn objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmimg2vec.datasets.scenes.layouts import MAX_SCENES, SceneOptions, World, write_scenes
from mmimg2vec.datasets.scenes.scene import Scene
from mmimg2vec.datasets.shapes.scenes import draw_scene
from mmimg2vec.datasets.shapes.vocabulary import CLASSES, SEGMENTATION_PALETTE

#: Validation scenes are scenes of the same world from this index on.
VAL_START = MAX_SCENES


@dataclass(frozen=True)
class ShapesOptions(SceneOptions):
    """Everything that decides what is written; see :class:`SceneOptions`."""


class Shapes(World):
    """Drawn scenes of ten kinds of objects.

    Args:
        options: What to draw.

    Raises:
        UserError: An option is out of range.
    """

    name = 'Shapes'
    version = 1
    classes = CLASSES
    supercategory = 'shape'
    palette = SEGMENTATION_PALETTE

    def draw(self, split: str, number: int) -> Scene:
        """Scene ``number`` of a split."""
        return draw_scene(self.options.seed, number + VAL_START * (split == 'val'), self.options.size)


def write_shapes(
    out: str | Path,
    options: SceneOptions,
    progress: Callable[[int, int], None] | None = None,
) -> dict:
    """Write Shapes; see :func:`~mmimg2vec.datasets.scenes.layouts.write_scenes`."""
    return write_scenes(out, Shapes(options), progress)
