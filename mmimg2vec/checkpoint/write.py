"""Files get their names when they are whole: the one place that renames."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


def save_atomically(checkpoint: Any, path: str | Path) -> None:
    """``torch.save`` beside the file, then move it to its name: nobody ever sees half of it."""
    part = f'{path}.part'
    torch.save(checkpoint, part)
    os.replace(part, path)
