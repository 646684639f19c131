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
        raise UserError(
            f'another run is using {work_dir} ({_owner(folder)}): wait for it, end it, or name another --work-dir'
        ) from None
    except OSError as error:
        raise UserError(f'{work_dir} cannot be the folder of a run: {error}; name another --work-dir') from error
    found = [] if resume else sorted(path for pattern in _RESULTS for path in folder.glob(pattern))
    if found and not overwrite:
        raise UserError(
            f'{work_dir} holds the results of another run ({", ".join(path.name for path in found[:3])}'
            f'{", ..." if len(found) > 3 else ""}): go on with it by --resume, name another --work-dir, or begin anew '
            'with --overwrite'
        )
    if found:
        aside = folder / time.strftime('overwritten_%Y%m%d_%H%M%S')
        aside.mkdir()
        for path in found:
            path.rename(aside / path.name)
        print(f'mmimg2vec: note: the results of an earlier run were moved to {aside}')


def _owner(folder: Path) -> str:
    try:
        owner = json.loads((folder / _OWNER).read_text())
        return f'process {owner["pid"]} on {owner["host"]}, since {owner["start"]}'
    except (OSError, ValueError, KeyError):
        return 'it does not say which'
