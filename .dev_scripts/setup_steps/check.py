"""A look at an environment of the user's own: says what is missing, installs nothing."""

from __future__ import annotations

import importlib
import sys

from setup_steps.stacks import ROOT

# import name -> name for pip
_RUN = {
    'numpy': 'numpy',
    'torch': 'torch',
    'torchvision': 'torchvision',
    'cv2': 'opencv-python',
    'matplotlib': 'matplotlib',
    'PIL': 'pillow',
    'mmengine': 'onedl-mmengine',
    'mmcv': 'onedl-mmcv',
    'mmpretrain': 'onedl-mmpretrain',
}
_TEST = {'pytest': 'pytest', 'ruff': 'ruff'}


def check_imports(purpose: str) -> int:
    """Import what a purpose needs; say in one line what cannot be imported, and return the exit status.

    Args:
        purpose: ``'demo'`` (whatever runs) or ``'test'`` (the checks as well).
    """
    sys.path.insert(0, str(ROOT))
    needed = {**_RUN, **(_TEST if purpose == 'test' else {})}
    problem = missing(needed) or package_problem()
    if problem:
        print(f'set-up: error: {sys.executable} {problem}', file=sys.stderr)
        return 1
    print(f'{sys.executable} has all that it takes.')
    return 0


def missing(modules: dict[str, str]) -> str:
    """Try to import modules; return what is missing, why, and the cure, or an empty string.

    Args:
        modules: Import name -> name for pip.
    """
    failed = {}
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken installation raises anything
            failed[module] = ' '.join(str(error).split())
    if not failed:
        return ''
    first, reason = next(iter(failed.items()))
    return (
        f'cannot import {", ".join(failed)} ({first}: {reason}); '
        f'run: {sys.executable} -m pip install {" ".join(modules[module] for module in failed)}'
    )


def package_problem() -> str:
    """Import mmimg2vec, which checks the versions of what it builds on; return what it says, or an empty string."""
    try:
        importlib.import_module('mmimg2vec')
    except Exception as error:
        return 'cannot import mmimg2vec: ' + ' '.join(str(error).split())
    return ''
