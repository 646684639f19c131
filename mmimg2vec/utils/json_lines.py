"""Files of JSON lines that several processes append to, on disks that may be full."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
from pathlib import Path
from typing import Any

from mmengine.logging import print_log


class JsonLines:
    """A file of JSON lines, each appended whole, also by several processes at once.

    What cannot be written is logged instead: a list is not worth the end of a run.

    Args:
        path: The file, made with its first line.
        key: Of the records: of those with one value the first is written, whichever process has it.
    """

    def __init__(self, path: str | Path, key: str | None = None) -> None:
        self.path, self.key = Path(path), key
        self._read_to = 0  # of the file, in bytes
        self._known: set[Any] = set()

    def append(self, record: dict[str, Any]) -> None:
        """Append a line.

        Args:
            record: Plain values; text that is no UTF-8 is written with the escapes that Python's file functions take
                back.
        """
        line = (json.dumps(record) + '\n').encode('ascii')
        try:
            with open(self.path, 'ab+', buffering=0) as file:
                with contextlib.suppress(OSError):  # some network file systems have no locks
                    fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
                end = file.seek(0, 2)
                if self._is_known(file, end, record):
                    return
                file.seek(max(end - 1, 0))
                is_cut = file.read(1) not in (b'', b'\n')
                is_whole = file.write(b'\n' * is_cut + line) == len(line) + is_cut
                problem = '' if is_whole else 'the disk is full'
        except OSError as error:
            problem = str(error)
        if problem:
            print_log(f'{self.path} cannot be written ({problem}); it lacks: {record}', 'current', logging.WARNING)

    def _is_known(self, file: Any, end: int, record: dict[str, Any]) -> bool:
        if self.key is None:
            return False
        if end < self._read_to:  # begun anew
            self._read_to = 0
            self._known.clear()
        file.seek(self._read_to)
        whole = file.read(end - self._read_to).rpartition(b'\n')[0]
        self._known.update(other.get(self.key) for other in _records(whole))
        self._read_to += len(whole)
        return record[self.key] in self._known


def read_json_lines(path: str | Path) -> list[dict[str, Any]]:
    """The records of a file; none where there is no file. Lines that a full disk has cut are left out."""
    path = Path(path)
    return _records(path.read_bytes()) if path.is_file() else []


def _records(data: bytes) -> list[dict[str, Any]]:
    records = []
    for line in data.splitlines():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict):
                records.append(record)
    return records
