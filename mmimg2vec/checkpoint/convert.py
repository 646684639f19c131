"""Converting checkpoint files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmimg2vec.checkpoint.safe_load import safe_load
from mmimg2vec.errors import UserError
from mmimg2vec.utils.write import save_atomically


def convert_file(
    source: str | Path,
    target: str | Path,
    convert: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> int:
    """Convert a file.

    Args:
        source: Checkpoint to read; nothing in it is executed.
        target: File to write, whole or not at all.
        convert: From what ``source`` holds to what ``target`` will.

    Returns:
        How many tensors have names that ``source`` does not have.

    Raises:
        UserError: ``source`` cannot be read or converted, ``target`` cannot be written.
    """
    source, target = Path(source), Path(target)
    if target.resolve() == source.resolve():
        raise UserError(f'{target} is the file to be converted: name another one')
    checkpoint = safe_load(source, 'cpu')
    if not isinstance(checkpoint, Mapping):
        raise UserError(f'{source} holds no weights by name: name a checkpoint')
    try:
        converted = convert(checkpoint)
    except UserError as error:
        raise UserError(f'{source}: {error}') from error
    save_atomically(converted, target)
    return len(_tensors(converted).keys() - _tensors(checkpoint).keys())


def _tensors(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    return checkpoint.get('state_dict', checkpoint)
