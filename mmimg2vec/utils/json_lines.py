"""Files of JSON lines that several processes append to."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def append_json_line(path: str | Path, record: dict[str, Any]) -> None:
    """Append a record in one write, so that lines of several processes do not mix.

    Args:
        path: The file, made where it is not there.
        record: Plain values; text that is no UTF-8 is written with the escapes that Python's file functions take back.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, (json.dumps(record) + '\n').encode('ascii'))
    finally:
        os.close(descriptor)
