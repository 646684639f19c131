"""Files get their names when they are whole: the one place that renames a file.

A file is written beside its name, brought to the disk, and renamed; who is killed in between leaves the old file. The
order is that of POSIX: without ``fsync`` a machine that loses its power may have the new name and none of the content.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mmimg2vec.errors import UserError


def write_atomically(path: str | Path, writer: Callable[[Path], Any]) -> None:
    """Write a file beside its name (``NAME.part``), then give it its name: nobody ever sees half of it.

    Args:
        path: The file, which is replaced where it exists; its folder is made where there is none.
        writer: Writes the path that it is given. Where it fails, nothing is left.

    Raises:
        UserError: The system does not let it be written: a full disk, a folder of somebody else's.
    """
    part = Path(f'{path}.part')
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        writer(part)
        move_into_place(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink()
        if isinstance(error, OSError):
            raise UserError(f'{path} cannot be written ({error}): make room there, or name another folder') from error
        raise


def move_into_place(part: str | Path, path: str | Path) -> None:
    """Give a file that is written its name, after its content and before the next step stand on the disk.

    Args:
        part: The file, in the file system of ``path``.
        path: Its name, which may be taken.
    """
    descriptor = os.open(part, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(part, path)
    _sync_folder(Path(path).parent)


def save_atomically(checkpoint: Any, path: str | Path) -> None:
    """``torch.save``, whole or not at all."""

    def save(part: Path) -> None:
        try:
            torch.save(checkpoint, part)
        except RuntimeError as error:  # what torch raises of a disk that is full, and of a path that is none
            raise OSError(' '.join(str(error).split())) from error

    write_atomically(path, save)


def write_text(path: str | Path, text: str) -> None:
    """Write a text in UTF-8, whole or not at all."""
    write_atomically(path, lambda part: part.write_text(text, encoding='utf-8'))


def write_json(path: str | Path, content: Any, indent: int | None = 1) -> None:
    """Write JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=indent) + '\n')


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):  # some network file systems refuse
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
