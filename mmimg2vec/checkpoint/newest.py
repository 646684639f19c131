"""The newest good checkpoint of a run's folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from mmimg2vec.checkpoint.safe_load import safe_load
from mmimg2vec.checkpoint.sources import file_sha256
from mmimg2vec.errors import UserError
from mmimg2vec.utils.write import write_text

# What mmengine and this project call checkpoints that a run can go on from.
_NAME = re.compile(r'(epoch|iter)_\d+\.pth')
_STEPS = re.compile(r'^# steps (\d+)$', re.MULTILINE)


def write_checksum(path: str | Path, steps: int | None = None) -> None:
    """Put the SHA-256 of a file beside it, in the form that ``sha256sum --check`` reads: ``NAME.sha256``.

    Args:
        path: The file.
        steps: How many steps of training it has behind it, put into a comment: the newest is then found by its name.
    """
    path = Path(path)
    comment = '' if steps is None else f'# steps {steps}\n'
    write_text(checksum_path(path), f'{file_sha256(path)}  {path.name}\n{comment}')


def checksum_path(path: str | Path) -> Path:
    """Where :func:`write_checksum` puts it."""
    return Path(f'{path}.sha256')


def list_checkpoints(folder: str | Path) -> list[Path]:
    """Files of a run's folder that are named as its checkpoints are, whole or not."""
    return [path for path in sorted(Path(folder).glob('*.pth')) if _NAME.fullmatch(path.name) and path.is_file()]


def first_nonfinite(weights: Mapping[str, Any]) -> str | None:
    """Name of the first tensor that holds NaN or infinity; None where all are finite."""
    for name, value in weights.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point() and not value.isfinite().all():
            return name
    return None


def newest_checkpoint(folder: str | Path, note: Callable[[str], None] = lambda line: None) -> Path | None:
    """Find the checkpoint of a folder that is furthest in training, and whole.

    The pointer ``last_checkpoint`` is not asked: it may be missing, empty, older than the newest file, or name a file
    of another folder, where this one was copied or moved.

    Args:
        folder: Folder of a run.
        note: Gets a line for each checkpoint that is left out because it is not whole.

    Returns:
        Its path; None where the folder has no checkpoints at all.

    Raises:
        UserError: There are checkpoints, and none is whole.
    """
    files = list_checkpoints(folder)
    claims: list[tuple[int, Path]] = []
    bad: list[str] = []
    for path in files:
        try:
            steps = _written_beside(path)
            claims.append((_verified_steps(path) if steps is None else steps, path))
        except UserError as error:
            bad.append(str(error))
    newest = None
    for steps, path in sorted(claims, reverse=True):
        try:
            # Of the others nothing is read: a folder may hold many, of gigabytes each.
            if _written_beside(path) is not None and _verified_steps(path) != steps:
                raise UserError(f'{path} has other steps behind it than {checksum_path(path).name} says')
            newest = path
            break
        except UserError as error:
            bad.append(str(error))
    for line in bad:
        note(f'{line}: it is left out')
    if files and newest is None:
        raise UserError(
            f'none of the {len(files)} checkpoints in {folder} is whole ({bad[0]}): name another folder, or begin anew '
            'without --resume'
        )
    return newest


def _written_beside(path: Path) -> int | None:
    """How many steps the file beside a checkpoint says that it has behind it; None where it does not say."""
    try:
        found = _STEPS.search(checksum_path(path).read_text(encoding='ascii'))
    except (OSError, UnicodeDecodeError):
        return None
    return None if found is None else int(found[1])


def _verified_steps(path: Path) -> int:
    """How many steps a checkpoint has behind it.

    Raises:
        UserError: Its bytes are not those that were written, it cannot be read, or its weights are not finite.
    """
    beside = checksum_path(path)
    try:
        is_whole = not beside.is_file() or beside.read_bytes().split()[:1] == [file_sha256(path).encode()]
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error}') from error
    if not is_whole:
        raise UserError(f'{path} has other bytes than were written (its SHA-256 is not that of {beside.name})')
    checkpoint = safe_load(path, 'cpu')
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    if not isinstance(meta, dict) or not isinstance(meta.get('iter'), int):
        raise UserError(f'{path} does not say how many steps it has behind it')
    weights = checkpoint.get('state_dict')
    broken = first_nonfinite(weights if isinstance(weights, Mapping) else {})
    if broken is not None:
        raise UserError(f'{path} has weights that are not finite ({broken})')
    return meta['iter']
