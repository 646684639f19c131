"""A picture that shows what the data are: scenes, their boxes and visible masks, and crops by class."""

from __future__ import annotations

import cv2
import numpy as np

from mmimg2vec.datasets.scenes.layouts import World
from mmimg2vec.datasets.scenes.scene import Scene
from mmimg2vec.datasets.scenes.views import crop_object, visible_objects

_WIDTH = 1200  # pixels of the sheet
_LABEL = 92  # pixels of the column with class names
_GAP = 6
_PAPER, _INK = 250, (40, 40, 40)


def _write(canvas: np.ndarray, text: str, left: int, base: int, scale: float = 0.45) -> None:
    cv2.putText(canvas, text, (left, base), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)


def draw_overlay(world: World, scene: Scene, zoom: int = 1) -> np.ndarray:
    """The scene with tinted visible masks, their outlines, boxes and class names; fragments are white."""
    size = scene.image.shape[0] * zoom
    picture = cv2.resize(scene.image, (size, size), interpolation=cv2.INTER_CUBIC)
    labels = []
    for index, visible in visible_objects(scene).items():
        name = world.classes[scene.objects[index].class_index]
        color = world.palette[1 + scene.objects[index].class_index][::-1]
        color = (255, 255, 255) if visible.fragment else color
        mask = cv2.resize(visible.mask.astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST)
        tinted = picture[mask > 0] * 0.5 + np.array(color) * 0.5
        picture[mask > 0] = tinted.astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, color, 1)
        x, y, width, height = (side * zoom for side in visible.box)
        cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), color, 1)
        if not visible.fragment:
            labels.append((name, (min(x + 2, size - 8 * len(name)), max(10, y - 3))))
    for name, place in labels:  # above all masks
        for ink, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            font = cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(picture, name, place, font, 0.36, ink, thickness, cv2.LINE_AA)
    return picture


def _collect_crops(world: World, wanted: int) -> dict[str, list[np.ndarray]]:
    """The first ``wanted`` crops of every class."""
    options = world.options
    found: dict[str, list[np.ndarray]] = {name: [] for name in world.classes}
    for index in range(60 * wanted):
        if all(len(crops) == wanted for crops in found.values()):
            break
        scene = world.draw('train', index)
        for k, visible in visible_objects(scene).items():
            crops = found[world.classes[scene.objects[k].class_index]]
            if len(crops) < wanted and visible.share >= options.min_visible:
                crops.append(crop_object(scene, k, visible.box, options.context, options.crop))
    return found


def contact_sheet(world: World, columns: int = 5) -> np.ndarray:
    """Draw the sheet.

    Args:
        world: The data to show; the numbers of scenes do not matter.
        columns: Scenes in a row.

    Returns:
        uint8 (H, 1200, 3), BGR.
    """
    options = world.options
    side = (_WIDTH - _GAP * (columns + 1)) // columns
    zoom = max(1, round(side / options.size))
    tile = 64
    per_class = (_WIDTH - _LABEL - _GAP) // (tile + _GAP)
    head = 26
    height = 3 * head + 2 * (side + _GAP) + len(world.classes) * (tile + _GAP) + 2 * _GAP
    sheet = np.full((height, _WIDTH, 3), _PAPER, np.uint8)

    top = head
    _write(sheet, f'{world.name}, seed {options.seed}: scenes of {options.size} px', _GAP, top - 8)
    scenes = [world.draw('val', k) for k in range(columns)]
    for row, pictures in enumerate(
        ([scene.image for scene in scenes], [draw_overlay(world, scene, zoom) for scene in scenes])
    ):
        if row:
            _write(sheet, 'the same: visible masks and boxes (white: fragments)', _GAP, top + 17)
            top += head
        for k, picture in enumerate(pictures):
            left = _GAP + k * (side + _GAP)
            sheet[top : top + side, left : left + side] = cv2.resize(
                picture, (side, side), interpolation=cv2.INTER_CUBIC
            )
        top += side + _GAP

    _write(sheet, f'crops by class ({options.crop} px)', _GAP, top + 17)
    top += head
    for name, crops in _collect_crops(world, per_class).items():
        _write(sheet, name, _GAP, top + tile // 2 + 5)
        for k, crop in enumerate(crops):
            left = _LABEL + k * (tile + _GAP)
            sheet[top : top + tile, left : left + tile] = cv2.resize(crop, (tile, tile), interpolation=cv2.INTER_CUBIC)
        top += tile + _GAP
    return sheet
