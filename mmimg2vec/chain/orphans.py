"""Processes that a killed chain left behind.

A stage ends with its chain, but what it has started itself may live on for a while: torchrun's processes until they are
told to end, a data-loading worker for ever. They would write into the folders in which the next start resumes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

_VARIABLE = 'MMIMG2VEC_CHAIN'


def mark(work_dir: Path) -> dict[str, str]:
    """Environment variable by which the processes of a chain are known."""
    return {_VARIABLE: str(work_dir.resolve())}


def end_orphans(work_dir: Path, patience: float = 10.0) -> list[int]:
    """End the processes of an earlier chain in a folder, of which the caller holds the lock.

    Args:
        work_dir: Folder of the chain.
        patience: Seconds that they get to end by themselves; then they are killed.

    Returns:
        Their process numbers; none on systems without ``/proc``.
    """
    found = find_processes(work_dir)
    left = found
    for ending, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, patience)):
        for process in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, ending)
        deadline = time.monotonic() + seconds
        while (left := find_processes(work_dir)) and time.monotonic() < deadline:
            time.sleep(0.1)
    return found


def find_processes(work_dir: Path) -> list[int]:
    """Process numbers of all processes of chains in a folder, but for this one's own."""
    ((name, value),) = mark(work_dir).items()
    wanted = f'{name}={value}'.encode()
    found = []
    for entry in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):  # ended meanwhile, or somebody else's
            if wanted in (entry / 'environ').read_bytes().split(b'\0'):
                found.append(int(entry.name))
    return [process for process in found if process != os.getpid()]
