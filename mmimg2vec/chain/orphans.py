"""Processes that a killed chain left behind.

A stage ends with its chain, but what it has started itself may live on for a while: torchrun's processes until they are
told to end, a data-loading worker for ever. They would write into the folders in which the next start resumes.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import psutil

_VARIABLE = 'MMIMG2VEC_CHAIN'


def chain_variable(work_dir: Path) -> dict[str, str]:
    """Environment variable by which the processes of a chain are known."""
    return {_VARIABLE: str(work_dir.resolve())}


def end_orphans(work_dir: Path, timeout: float = 10.0) -> int:
    """End the processes of an earlier chain in a folder, of which the caller holds the lock.

    Args:
        work_dir: Folder of the chain.
        timeout: Seconds that they get to end by themselves; then they are killed.

    Returns:
        Their number.
    """
    found = left = find_processes(work_dir)
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            with contextlib.suppress(psutil.Error):
                end(process)
        deadline = time.monotonic() + timeout
        # Looked for again rather than waited for: one that ends may have started another.
        while (left := find_processes(work_dir)) and time.monotonic() < deadline:
            time.sleep(0.1)
    return len(found)


def find_processes(work_dir: Path) -> list[psutil.Process]:
    """All processes of chains in a folder, but for this one's own."""
    ((name, value),) = chain_variable(work_dir).items()
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # ended meanwhile, or somebody else's
            if process.pid != os.getpid() and process.environ().get(name) == value:
                found.append(process)
    return found
