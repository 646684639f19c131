"""The Cutouts world: photographs of things, cut out, pasted on textures or on photographs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmimg2vec.datasets.cutouts.stamps import (
    CLASSES,
    Stamp,
    find_stamps,
    load_stamp,
    read_copyright,
    resize_cutout,
    split_pictures,
)
from mmimg2vec.datasets.reading import IMAGE_SUFFIXES
from mmimg2vec.datasets.scenes.layouts import MAX_SCENES, SceneOptions, World, write_scenes
from mmimg2vec.datasets.scenes.light import Light, cast_shadow, expose
from mmimg2vec.datasets.scenes.scene import Scene, SceneObject, any_of, log_uniform, paste, place
from mmimg2vec.datasets.scenes.surfaces import COLOR_NAMES, GROUND_TEXTURES, paint_ground
from mmimg2vec.errors import UserError

#: One color (RGB) for the ground and for each class.
SEGMENTATION_PALETTE = (
    (70, 70, 70),
    (0, 130, 200),
    (70, 240, 240),
    (240, 50, 230),
    (230, 25, 75),
    (170, 90, 40),
    (145, 30, 180),
    (245, 130, 48),
    (255, 225, 25),
    (60, 180, 75),
)

# Of an object's longer side, relative to the scene's; the project's choice, as all numbers here.
_SMALLEST, _LARGEST = 0.22, 0.5


@dataclass(frozen=True)
class CutoutsOptions(SceneOptions):
    """Everything that decides what is written.

    Attributes:
        drawings: Take drawings beside photographs; houses are drawings in any case.
        val_share: Share of the pictures of a class that only validation shows.
        stamps: Folder of the package of the pictures.
        copyright_file: Its copyright file; None: where Debian has it.
        backgrounds: Folder of photographs to paste on; None: textures.
    """

    size: int = 256
    crop: int = 128
    drawings: bool = False
    val_share: float = 0.3
    stamps: str = '/usr/share/tuxpaint/stamps'
    copyright_file: str | None = None
    backgrounds: str | None = None


class Cutouts(World):
    """Scenes of cut-out pictures of nine classes.

    A picture, and a photograph to paste on, belongs to one split: what validation shows was never seen in training.

    Args:
        options: What to compose.

    Raises:
        UserError: An option is out of range; the pictures, their copyright file or photographs to paste on are not
            there.

    Attributes:
        pictures: Split -> class -> its pictures.
        rights: What the copyright file says.
    """

    name = 'Cutouts'
    version = 1
    classes = CLASSES
    supercategory = 'cut-out'
    palette = SEGMENTATION_PALETTE

    options: CutoutsOptions

    def __init__(self, options: CutoutsOptions) -> None:
        super().__init__(options)
        if not 0 < options.val_share < 1:
            raise UserError(f'Cutouts: val_share={options.val_share}: give a share between 0 and 1')
        self.folder = Path(options.stamps).expanduser()
        chosen = find_stamps(self.folder, options.drawings)
        self.rights = read_copyright(self.folder, _path(options.copyright_file))
        splits = {label: split_pictures(own, options.seed, options.val_share) for label, own in chosen.items()}
        self.pictures = {split: {label: own[split] for label, own in splits.items()} for split in ('train', 'val')}
        self.backgrounds = _split_backgrounds(_path(options.backgrounds), options)

    def draw(self, split: str, number: int) -> Scene:
        """Scene ``number`` of a split: from two to five pictures.

        Raises:
            UserError: A picture cannot be read.
        """
        size = self.options.size
        rng = np.random.default_rng([self.options.seed, number + MAX_SCENES * (split == 'val')])
        image, ground, words = self._ground(rng, split)
        light = Light.draw(rng)
        owners = np.full((size, size), -1, np.int16)
        sides = [size * log_uniform(rng, _SMALLEST, _LARGEST) for _ in range(int(rng.integers(2, 6)))]
        objects: list[SceneObject] = []
        for side, (x, y) in zip(sides, place(rng, [side / 2 for side in sides], size), strict=True):
            class_index = int(rng.integers(len(CLASSES)))
            pictures = self.pictures[split][CLASSES[class_index]]
            stamp = pictures[int(rng.integers(len(pictures)))]
            paint, cover = _lit(rng, load_stamp(self.folder / stamp.path), side, light)
            shadow = cast_shadow(cover, side / 2, light)
            paste(image, owners, len(objects), paint, cover, shadow, (int(x), int(y)))
            across, down, width = rng.random(3).tolist()
            objects.append(
                SceneObject(
                    class_index,
                    stamp.phrase,
                    _attributes(stamp),
                    (x, y),
                    side / 2,
                    int((cover > 0.5).sum()),
                    (width, across, down),
                )
            )
        return Scene(expose(rng, image), owners, tuple(objects), ground, words)

    def described(self) -> dict[str, Any]:
        """What decides the pictures, with a digest of which are taken, and whose they are."""
        taken = [stamp.path for own in self.pictures['train'].values() for stamp in own]
        digest = hashlib.sha256('\n'.join([*taken, *map(str, self.backgrounds['train'])]).encode()).hexdigest()[:16]
        return dict(super().described(), pictures=digest, rights=self.rights)

    def _ground(self, rng: np.random.Generator, split: str) -> tuple[np.ndarray, dict[str, str], str]:
        """Planes in [0, 1], what is recorded of them, and their words.

        Raises:
            UserError: A photograph cannot be read.
        """
        size, photographs = self.options.size, self.backgrounds[split]
        if not photographs:
            texture, color = any_of(rng, GROUND_TEXTURES), any_of(rng, COLOR_NAMES)
            recorded = dict(ground_texture=texture, ground_color=color)
            return paint_ground(rng, texture, color, size), recorded, f'{texture} ground'
        path = photographs[int(rng.integers(len(photographs)))]
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise UserError(f'{path} cannot be read: take it out of --backgrounds')
        height, width = image.shape[:2]
        side = max(1, round(min(height, width) * rng.uniform(0.4, 1.0)))
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        way = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
        square = cv2.resize(image[top : top + side, left : left + side], (size, size), interpolation=way)
        planes = np.ascontiguousarray(square.transpose(2, 0, 1)).astype(np.float32) / 255
        return planes, dict(ground_picture=path.name), 'photograph'


def write_cutouts(
    out: str | Path,
    options: CutoutsOptions,
    progress: Callable[[int, int], None] | None = None,
) -> dict:
    """Write Cutouts; see :func:`~mmimg2vec.datasets.scenes.layouts.write_scenes`."""
    return write_scenes(out, Cutouts(options), progress)


def _attributes(stamp: Stamp) -> dict[str, str]:
    return dict(picture=stamp.path, kind=stamp.kind)


def _lit(rng: np.random.Generator, image: np.ndarray, side: float, light: Light) -> tuple[np.ndarray, np.ndarray]:
    """Scale, mirror and light a picture.

    Returns:
        Paint ``(3, n, n)`` in [0, 1] and cover ``(n, n)``, n odd, with room for the shadow around.
    """
    small = resize_cutout(image, side / max(image.shape[:2]))
    if rng.random() < 0.5:
        small = small[:, ::-1]
    height, width = small.shape[:2]
    half = int(0.75 * side) + 2
    patch = np.zeros((2 * half + 1, 2 * half + 1, 4), np.uint8)
    top, left = half - height // 2, half - width // 2
    patch[top : top + height, left : left + width] = small
    planes = patch.transpose(2, 0, 1).astype(np.float32) / 255
    pixels = (np.arange(2 * half + 1, dtype=np.float32) - half) * (light.shading / side)
    shade = 1 + pixels[None] * light.toward[0] + pixels[:, None] * light.toward[1]
    return planes[:3] * np.clip(shade * rng.uniform(0.8, 1.2), 0.25, 1.75), planes[3]


def _split_backgrounds(folder: Path | None, options: CutoutsOptions) -> dict[str, list[Path]]:
    if folder is None:
        return {'train': [], 'val': []}
    found = [path for path in folder.rglob('*') if path.suffix.lower() in IMAGE_SUFFIXES]
    found.sort(key=lambda path: hashlib.sha256(f'{options.seed} {path.relative_to(folder)}'.encode()).hexdigest())
    if len(found) < 2:
        raise UserError(f'{folder} holds {len(found)} photographs: --backgrounds needs two, one for each split')
    count = min(max(1, round(options.val_share * len(found))), len(found) - 1)
    return {'train': found[count:], 'val': found[:count]}


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text).expanduser()
