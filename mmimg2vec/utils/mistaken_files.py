"""What can be seen of a file that is not what it should be, or not where it should be."""

from __future__ import annotations

import itertools
import os
import os.path as osp
import unicodedata
from collections.abc import Callable
from functools import partial
from urllib.parse import unquote

_ENDINGS = ('.jpg', '.jpeg', '.png', '.JPG', '.JPEG', '.PNG')


def kind_of(data: bytes) -> str | None:
    """What a file is that should hold images, annotations or weights, with the cure; None where nothing is seen.

    Args:
        data: Its content, or the first 512 bytes of it.
    """
    head = data[:512].lstrip(b'\xef\xbb\xbf \t\r\n')
    if not head.strip(b'\0'):
        return 'empty: copy or download it again' if not head else None
    if head.startswith(b'version https://git-lfs'):
        return 'a pointer of Git LFS, not the file itself: run `git lfs pull` where it comes from'
    if head.startswith((b'/annex/objects/', b'.git/annex/', b'../.git/annex/')):
        return 'a pointer of git-annex, not the file itself: run `git annex get` where it comes from'
    if head.startswith(b'<'):
        return 'a web page or XML: download the file itself, or convert it'
    if data[:2] == b'\x1f\x8b' or data[:4] == b'PK\x03\x04':
        return 'compressed: unpack it'
    return None


def written_otherwise(path: str) -> str | None:
    """The file that a missing one stands for, where its name is only written in another way; None where there is none.

    Looks for backslashes between folders, the escapes of web addresses (``%20``), the two ways to write an accent,
    a folder that is named twice or too much, another ending, and a longer name (``x_label.png``).

    Args:
        path: Of no file.
    """
    ways: tuple[tuple[Callable[[str], str], ...], ...] = (
        (str, lambda text: text.replace('\\', '/')),
        (str, unquote),
        (str, partial(unicodedata.normalize, 'NFC'), partial(unicodedata.normalize, 'NFD')),
        (str, _without_double, _without_folder),
        (str, *(partial(_with_ending, ending) for ending in _ENDINGS)),
    )
    for steps in itertools.product(*ways):
        text = path
        for step in steps:
            text = step(text)
        if text != path and osp.isfile(text):
            return text
    stem = osp.splitext(osp.basename(path))[0]
    folder = osp.dirname(path)
    names = sorted(os.listdir(folder)) if osp.isdir(folder) else []
    longer = [osp.join(folder, name) for name in names if name.startswith(stem)]
    return longer[0] if len(longer) == 1 and osp.isfile(longer[0]) else None


def _with_ending(ending: str, path: str) -> str:
    return osp.splitext(path)[0] + ending


def _without_double(path: str) -> str:
    """``a/train/train/x.jpg`` as ``a/train/x.jpg``."""
    parts = path.split('/')
    return '/'.join(part for number, part in enumerate(parts) if not part or part != parts[number - 1])


def _without_folder(path: str) -> str:
    """``a/train/b/x.jpg`` as ``a/train/x.jpg``."""
    parts = path.split('/')
    return '/'.join([*parts[:-2], parts[-1]]) if len(parts) > 2 else path
