"""What the machine must have before anything is installed."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from setup_steps.commands import SetupError


def check_disk(needed_gb: float, folder: Path) -> None:
    """Check the free space where the environment goes and where pip unpacks.

    Raises:
        SetupError: There is too little.
    """
    # A download and its unpacked files exist side by side for a while.
    for place, needed in ((folder, needed_gb), (Path(tempfile.gettempdir()), 2.0)):
        free = shutil.disk_usage(place).free / 1e9
        if free < needed:
            raise SetupError(
                f'{free:.1f} GB free at {place}, but the set-up needs {needed:g} GB there: '
                'free some space and run again' + (' (or set TMPDIR to a larger place)' if place != folder else '')
            )


def check_compiler() -> None:
    """Check that C++ code against this Python can be compiled.

    Raises:
        SetupError: The compiler or Python's headers are missing.
    """
    if not (shutil.which('c++') or shutil.which('g++') or shutil.which('clang++')):
        raise SetupError(
            'mmcv has to be compiled here and there is no C++ compiler: install one '
            '(Debian, Ubuntu: apt install g++), or point PIP_FIND_LINKS at a folder with a wheel of mmcv'
        )
    if not Path(sysconfig.get_paths()['include'], 'Python.h').exists():
        raise SetupError(
            "mmcv has to be compiled here and Python's C headers are missing: install them "
            '(Debian, Ubuntu: apt install python3-dev), or point PIP_FIND_LINKS at a folder with a wheel of mmcv'
        )


def has_gpu() -> bool:
    """Whether the machine has an NVIDIA GPU, whatever torch says."""
    program = shutil.which('nvidia-smi')
    if program is None:
        return False
    listed = subprocess.run([program, '-L'], capture_output=True, text=True, check=False)
    return 'GPU' in listed.stdout
