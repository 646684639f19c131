"""Cut-out pictures of an installed package: which there are, of what class and kind, and which split has them.

The Debian package ``tuxpaint-stamps-default`` holds pictures with an alpha channel. ``stamps.txt`` beside this file
lists those that Cutouts takes, each with its class and whether it is a photograph or a drawing: facts about files,
told by looking at them. No picture is part of this project.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from mmimg2vec.errors import UserError

#: In alphabetical order. ``fruit`` holds vegetables and nuts too, ``insect`` all that creeps, ``fish`` shellfish too.
CLASSES = ('bird', 'fish', 'flower', 'fruit', 'house', 'insect', 'mammal', 'thing', 'vehicle')
#: Pictures that a class has to have: so many for training, so many for validation (the project's choice).
MIN_TRAIN, MIN_VAL = 2, 1

_LIST = Path(__file__).with_name('stamps.txt')
_INSTALL = 'sudo apt-get install tuxpaint-stamps-default, and --stamps /usr/share/tuxpaint/stamps'
# Larger pictures are shrunk when they are read, which no scene shows.
_MAX_SIDE = 512


@dataclass(frozen=True)
class Stamp:
    """A picture of the list.

    Attributes:
        label: Its class.
        kind: ``'photograph'`` or ``'drawing'``.
        path: Below the folder of the stamps.
    """

    label: str
    kind: str
    path: str

    @property
    def phrase(self) -> str:
        """What it shows, by its file's name: ``'rainbow lorikeet'``."""
        words = re.sub(r'[^a-z]+', ' ', Path(self.path).stem.lower()).strip()
        return words or self.label


def listed_stamps() -> list[Stamp]:
    """All pictures of the list, in its order."""
    lines = _LIST.read_text(encoding='utf-8').splitlines()
    return [Stamp(*line.split(' ', 2)) for line in lines if line and not line.startswith('#')]


def find_stamps(folder: Path, drawings: bool = False) -> dict[str, list[Stamp]]:
    """The pictures of the list that a folder holds, by class.

    Args:
        folder: Of the installed package.
        drawings: Whether drawings are taken beside photographs. A class without photographs has its drawings in any
            case: houses.

    Raises:
        UserError: The package is not there, or a class has too few pictures.
    """
    found = [stamp for stamp in listed_stamps() if (folder / stamp.path).is_file()]
    if not found:
        raise UserError(f'{folder} holds none of the stamps: install them ({_INSTALL})')
    chosen: dict[str, list[Stamp]] = {}
    for label in CLASSES:
        own = [stamp for stamp in found if stamp.label == label]
        photographs = [stamp for stamp in own if stamp.kind == 'photograph']
        chosen[label] = own if drawings or not photographs else photographs
        if len(chosen[label]) < MIN_TRAIN + MIN_VAL:
            raise UserError(
                f'{folder} holds {len(chosen[label])} pictures of the class {label}, and {MIN_TRAIN + MIN_VAL} are '
                f'needed: install the whole package ({_INSTALL})'
            )
    return chosen


def split_pictures(pictures: Sequence[Stamp], seed: int, val_share: float) -> dict[str, list[Stamp]]:
    """Split the pictures of one class, so that validation shows things that training has not seen.

    Which pictures validate follows from the seed and their paths alone.

    Args:
        pictures: Of the class.
        seed: Of the world.
        val_share: Share of the pictures that validate.
    """
    ordered = sorted(pictures, key=lambda stamp: hashlib.sha256(f'{seed} {stamp.path}'.encode()).hexdigest())
    count = min(max(MIN_VAL, round(val_share * len(ordered))), len(ordered) - MIN_TRAIN)
    return {'train': ordered[count:], 'val': ordered[:count]}


@lru_cache(maxsize=512)
def load_stamp(path: Path) -> np.ndarray:
    """Read a picture.

    Returns:
        ``(H, W, 4)`` uint8, BGR and alpha, cut to what is not transparent; at most 512 pixels wide and high.

    Raises:
        UserError: It cannot be read, has no alpha channel, or is transparent throughout.
    """
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise UserError(f'{path} cannot be read: install the package of the stamps again')
    if image.ndim != 3 or image.shape[2] != 4 or image.dtype != np.uint8:
        raise UserError(f'{path} is no picture with an alpha channel: install the package of the stamps again')
    x, y, width, height = cv2.boundingRect((image[..., 3] > 127).astype(np.uint8))
    if not width:
        raise UserError(f'{path} is transparent throughout: install the package of the stamps again')
    image = image[y : y + height, x : x + width]
    scale = _MAX_SIDE / max(image.shape[:2])
    return image if scale >= 1 else resize_cutout(image, scale)


def resize_cutout(image: np.ndarray, scale: float) -> np.ndarray:
    """Resize BGR and alpha ``(H, W, 4)`` so that what is transparent lends no color to the rim."""
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    alpha = image[..., 3:].astype(np.float32) / 255
    premultiplied = np.concatenate([image[..., :3] * alpha, 255 * alpha], axis=2)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = np.clip(cv2.resize(premultiplied, (width, height), interpolation=way), 0, 255)
    colors = small[..., :3] / np.maximum(small[..., 3:] / 255, 1e-3)
    return np.clip(np.concatenate([colors, small[..., 3:]], axis=2) + 0.5, 0, 255).astype(np.uint8)


def read_copyright(folder: Path, file: Path | None = None) -> dict[str, str]:
    """What the package says about its pictures.

    Args:
        folder: Of the stamps, ``.../share/tuxpaint/stamps``.
        file: The copyright file; None: ``share/doc/tuxpaint-stamps-default/copyright``, where Debian has it.

    Returns:
        ``file``, and of the paragraph on all files ``copyright`` and ``license``.

    Raises:
        UserError: There is no such file, or it does not say.
    """
    file = file or folder.resolve().parents[1] / 'doc' / 'tuxpaint-stamps-default' / 'copyright'
    try:
        text = file.read_text(encoding='utf-8', errors='replace')
    except OSError:
        raise UserError(f'no copyright file {file}: name the one of the stamps with --copyright') from None
    found = re.search(r'^Files: \*\n(.*?)(?:\n\n|\Z)', text, re.MULTILINE | re.DOTALL)
    fields = dict(re.findall(r'^(Copyright|License): (.+)$', found[1] if found else '', re.MULTILINE))
    if set(fields) != {'Copyright', 'License'}:
        raise UserError(f'{file} does not say copyright and license of all files: name another with --copyright')
    return dict(file=str(file), copyright=fields['Copyright'].strip(), license=fields['License'].strip())
