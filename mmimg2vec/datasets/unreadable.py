"""The list of images that could not be read, shared by all processes of a run."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from mmengine.logging import print_log

from mmimg2vec.datasets.errors import UnreadableImage
from mmimg2vec.utils.json_lines import append_json_line


class UnreadableList:
    """Names each unreadable image once: in the log, and as soon as there is one in a file of JSON lines.

    A line of the file is ``{"image": ..., "reason": ...}``; names that are no UTF-8 are written with the escapes that
    Python's file functions take back.
    """

    def __init__(self) -> None:
        self._file: str | None = None
        self._met: dict[str, str] = {}

    def write_to(self, path: str | Path) -> None:
        """Write into this file from now on, those met so far included."""
        self._file = str(path)
        for image, reason in self._met.items():
            append_json_line(self._file, {'image': image, 'reason': reason})

    def add(self, unreadable: UnreadableImage) -> None:
        """Name an image, where this process has not yet; other processes may name it too."""
        if unreadable.path in self._met:
            return
        self._met[unreadable.path] = unreadable.reason
        if self._file is None:
            print_log(f'unreadable image: {unreadable}', 'current', logging.WARNING)
        else:
            append_json_line(self._file, {'image': unreadable.path, 'reason': unreadable.reason})


def read_list(path: str | Path) -> dict[str, str]:
    """Image -> reason, from the file of an :class:`UnreadableList`; nothing where there is none."""
    path = Path(path)
    if not path.is_file():
        return {}
    entries = [json.loads(line) for line in path.read_text(encoding='ascii').splitlines()]
    return {entry['image']: entry['reason'] for entry in entries}
