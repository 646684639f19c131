"""Exported files: weights, and beside them a JSON file that says what they are."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmimg2vec.checkpoint.safe_load import safe_load
from mmimg2vec.environment import require
from mmimg2vec.errors import UserError
from mmimg2vec.utils.write import move_into_place, write_json


def metadata_path(path: str | Path) -> Path:
    """The JSON file beside exported weights."""
    return Path(f'{path}.json')


def write_checked(
    path: str | Path,
    writer: Callable[[Path], Any],
    metadata: dict[str, Any],
    check: Callable[[Path], dict[str, Any]],
) -> dict[str, Any]:
    """Write weights, or a graph, and metadata; both get their names only when ``check`` has passed.

    Args:
        path: The file.
        writer: Writes it at the path that it is given.
        metadata: What the JSON file says.
        check: Reads the files written at the path that it is given; what it returns is added to the metadata.

    Returns:
        The metadata.

    Raises:
        UserError: The folder cannot be used, or ``check`` found a difference.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix='.export-', dir=path.parent) as folder:
            part = Path(folder, path.name)
            writer(part)
            write_json(metadata_path(part), metadata, indent=2)
            metadata = metadata | check(part)
            write_json(metadata_path(part), metadata, indent=2)
            move_into_place(metadata_path(part), metadata_path(path))
            move_into_place(part, path)
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error}') from error
    return metadata


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Read the JSON file beside exported weights.

    Raises:
        UserError: It is not there or is damaged.
    """
    beside = metadata_path(path)
    try:
        return json.loads(beside.read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        raise UserError(
            f'no {beside}, which says how {path} is built: keep it beside the weights, or export them again'
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f'{beside} cannot be read ({error}): export the weights again') from error


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read exported weights onto the CPU.

    Raises:
        UserError: The file is missing or damaged.
    """
    return safe_load(str(path), 'cpu')


def check_target(path: Path, suffixes: Sequence[str], what: str) -> None:
    """Check the name of a file that is going to be written.

    Args:
        path: Of the file.
        suffixes: That it may have.
        what: That is written, for the message.

    Raises:
        UserError: It has another suffix, or is a folder.
    """
    if path.suffix not in suffixes:
        names = ' or '.join(f'NAME{suffix}' for suffix in suffixes)
        raise UserError(f'{path}: name the file that is to be written {names} ({what})')
    if path.is_dir():
        raise UserError(f'{path} is a folder: name a file')


def write_tensors(state: Mapping[str, Tensor], path: Path) -> None:
    """Write weights, as ``.safetensors`` or ``.pth``.

    Raises:
        UserError: safetensors is missing.
    """
    # Cloned: views and shared storages are written whole, or refused.
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}
    if path.suffix == '.safetensors':
        safetensors = require('safetensors.torch', f'Writing {path.name}', 'safetensors')
        # Not save_file: newer versions make files that only their owner may read.
        path.write_bytes(safetensors.save(tensors, metadata={'format': 'pt'}))
    else:
        torch.save(tensors, path)
