"""What the layouts take from a scene: visible masks, run lengths, label maps, crops and captions."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from mmimg2vec.datasets.scenes.scene import Scene

#: An object of which less than this share, or fewer than this many pixels, is seen is a fragment: a crowd region
#: in COCO (neither right nor wrong to find) and 'other' in ADE20K's layout.
FRAGMENT_SHARE, FRAGMENT_PIXELS = 0.25, 24


class Visible(NamedTuple):
    """How much of an object is seen, and where."""

    mask: np.ndarray  # (H, W) bool
    box: tuple[int, int, int, int]  # x, y, width, height
    area: int  # pixels
    share: float  # of the whole object

    @property
    def fragment(self) -> bool:
        """Too little is seen to know what it is."""
        return self.share < FRAGMENT_SHARE or self.area < FRAGMENT_PIXELS


def visible_objects(scene: Scene) -> dict[int, Visible]:
    """The objects of which at least one pixel is seen, by their index in the scene."""
    found = {}
    for index, item in enumerate(scene.objects):
        mask = scene.visible_mask(index)
        area = int(mask.sum())
        if area:
            x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
            found[index] = Visible(mask, (x, y, width, height), area, area / item.full_area)
    return found


def encode_rle(mask: np.ndarray) -> dict:
    """A mask (H, W) as COCO's uncompressed run lengths (column-major, starting with zeros)."""
    flat = np.concatenate([[0], mask.T.reshape(-1).astype(np.int8), [-1]])
    ends = np.flatnonzero(np.diff(flat))
    return dict(counts=np.diff(ends, prepend=0).tolist(), size=list(mask.shape))


def segmentation_map(scene: Scene, seen: dict[int, Visible]) -> np.ndarray:
    """(H, W) uint8 labels: 0 other (fragments), 1 ground, 2 + i class i."""
    labels = np.ones(scene.owners.shape, np.uint8)
    for index, visible in seen.items():
        label = 0 if visible.fragment else 2 + scene.objects[index].class_index
        labels[visible.mask] = label
    return labels


def crop_object(scene: Scene, index: int, box: tuple[int, int, int, int], context: float, crop: int) -> np.ndarray:
    """Cut out one object as a photographer would: not centered, with more or less of its surroundings.

    Args:
        scene: The scene.
        index: Which object; its ``framing`` decides the square's size and place.
        box: x, y, width, height of what is seen of it, which lies inside the square where the scene allows.
        context: Largest side of the square, relative to the longer side of ``box``; the smallest is 1.1.
        crop: Side of the result in pixels.

    Returns:
        uint8 (crop, crop, 3), BGR.
    """
    size = scene.image.shape[0]
    spread, across, down = scene.objects[index].framing
    x, y, width, height = box
    ratio = 1.1 + (context - 1.1) * spread
    side = min(size, max(16, round(ratio * max(width, height))))
    left = min(max(0, round(x - (side - width) * across)), size - side)
    top = min(max(0, round(y - (side - height) * down)), size - side)
    way = cv2.INTER_AREA if side > crop else cv2.INTER_LINEAR
    square = scene.image[top : top + side, left : left + side]
    return cv2.resize(square, (crop, crop), interpolation=way)


def scene_caption(scene: Scene, seen: dict[int, Visible]) -> str:
    """One phrase for the whole scene: its recognizable objects and its ground."""
    items = [scene.object_phrase(index) for index, visible in seen.items() if not visible.fragment]
    return f'{" and ".join(items) or "nothing"} on {scene.ground_phrase()}'
