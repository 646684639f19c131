"""One run per folder, and none over the files of another."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

from filelock import FileLock, Timeout

from mmimg2vec.errors import UserError

_LOCK, _OWNER = '.lock', '.lock.json'
# What a run leaves that must not be lost: its weights, and the name of the newest.
_RESULTS = ('*.pth', 'last_checkpoint')
_held: dict[str, FileLock] = {}


def begin_run(work_dir: str | Path, resume: bool, overwrite: bool = False) -> None:
    """Claim a folder for this process until it ends, and look whether it may be written.

    The lock is the operating system's (flock): it goes with the process, so what was killed blocks nothing. Beside it
    stands who holds it. A second call for the same folder does nothing. To be called on the main process only.

    Args:
        work_dir: Folder of the run; made where it is not there.
        resume: Whether the run goes on with what the folder holds.
        overwrite: Set results of another run aside, into a folder within.

    Raises:
        UserError: Another process trains there (host, process and start are named), the folder cannot be written, or it
            holds the results of another run.
    """
    folder = Path(work_dir).resolve()
    if str(folder) in _held:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK)
        lock.acquire(timeout=0)
        _held[str(folder)] = lock
        owner = {'host': socket.gethostname(), 'pid': os.getpid(), 'start': time.strftime('%Y-%m-%d %H:%M:%S')}
        (folder / _OWNER).write_text(json.dumps(owner))
    except Timeout:
        raise UserError(_in_use(folder)) from None
    except OSError as error:
        raise UserError(_not_usable(work_dir, error)) from error
    found = [] if resume else _results(folder)
    if found and not overwrite:
        raise UserError(_holds_results(work_dir, found))
    if found:
        aside = folder / time.strftime('overwritten_%Y%m%d_%H%M%S')
        aside.mkdir()
        for path in found:
            path.rename(aside / path.name)
        print(f'mmimg2vec: note: the results of an earlier run were moved to {aside}')


def end_run(work_dir: str | Path) -> None:
    """Let go of a folder before the process ends; without it the end of the process does so."""
    lock = _held.pop(str(Path(work_dir).resolve()), None)
    if lock is not None:
        lock.release()


def check_free(work_dir: str | Path, resume: bool, overwrite: bool = False) -> None:
    """Look whether :func:`begin_run` would claim a folder, and claim nothing.

    Raises:
        UserError: Another process trains there, it holds the results of another run, or its lock cannot be taken.
    """
    folder = Path(work_dir).resolve()
    if (folder / _LOCK).exists():
        try:
            with FileLock(folder / _LOCK, timeout=0):
                pass
        except Timeout:
            raise UserError(_in_use(folder)) from None
        except OSError as error:
            raise UserError(_not_usable(work_dir, error)) from error
    found = [] if resume or overwrite else _results(folder)
    if found:
        raise UserError(_holds_results(work_dir, found))


def _results(folder: Path) -> list[Path]:
    return sorted(path for pattern in _RESULTS for path in folder.glob(pattern))


def _holds_results(work_dir: str | Path, found: list[Path]) -> str:
    return (
        f'{work_dir} holds the results of another run ({", ".join(path.name for path in found[:3])}'
        f'{", ..." if len(found) > 3 else ""}): go on with it by --resume, name another --work-dir, or begin anew '
        'with --overwrite'
    )


def _not_usable(work_dir: str | Path, error: OSError) -> str:
    return f'{work_dir} cannot be the folder of a run: {error}; name another --work-dir'


def _in_use(folder: Path) -> str:
    return f'another run is using {folder} ({_owner(folder)}): wait for it, end it, or name another --work-dir'


def _owner(folder: Path) -> str:
    try:
        owner = json.loads((folder / _OWNER).read_text())
        return f'process {owner["pid"]} on {owner["host"]}, since {owner["start"]}'
    except (OSError, ValueError, KeyError):
        return 'it does not say which'
