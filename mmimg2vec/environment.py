"""Which versions of the packages below are accepted, and what to do where one is not."""

from __future__ import annotations

import functools
import importlib
from importlib import metadata
from typing import Any

from mmimg2vec.errors import UserError
from mmimg2vec.version import WINDOWS

# The maintained continuation of OpenMMLab is published under these names; import names are the same.
_DISTRIBUTIONS = {
    'mmengine': 'onedl-mmengine',
    'mmcv': 'onedl-mmcv',
    'mmpretrain': 'onedl-mmpretrain',
}


def check_environment() -> None:
    """Check the versions of mmengine, mmcv, mmpretrain and, where it is installed, transformers.

    Raises:
        UserError: A package is missing or outside its window (``mmimg2vec.version.WINDOWS``); names the cure.
    """
    _check_transformers()
    for name, (low, high) in WINDOWS.items():
        check_window(name, _installed_version(name), low, high)


def silence_onedl() -> None:
    """Leave out the line of mmdet's continuation that says, at each import, that an unrelated package is missing."""
    from mmengine import logging

    original = logging.print_log

    @functools.wraps(original)
    def print_log(msg: Any, *args: Any, **kwargs: Any) -> None:
        if not str(msg).startswith('Could not import OneDL'):
            original(msg, *args, **kwargs)

    logging.print_log = print_log


def check_window(name: str, version: str, low: str, high: str) -> None:
    """Check that ``low <= version < high``.

    Raises:
        UserError: The version is outside the window.
    """
    from mmengine.utils import digit_version

    if not digit_version(low) <= digit_version(version) < digit_version(high):
        raise UserError(
            f'{name} {version} does not fit: mmimg2vec needs {name}>={low},<{high}; '
            f'run: pip install "{_DISTRIBUTIONS[name]}>={low},<{high}"'
        )


def require(module: str, purpose: str, distribution: str | None = None):
    """Import an optional package where it is used.

    Args:
        module: Import name, such as ``'mmdet'``.
        purpose: What needs it, for the message.
        distribution: Name for pip where it differs from ``module``.

    Returns:
        The imported module.

    Raises:
        UserError: The package is not installed; names the cure.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f'{purpose} needs the package {module} ({error}); run: pip install {distribution or module}'
        ) from error


def _installed_version(name: str) -> str:
    # From the metadata where there is any: importing mmpretrain takes seconds.
    for distribution in (_DISTRIBUTIONS[name], name):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return require(name, 'mmimg2vec', _DISTRIBUTIONS[name]).__version__


def _check_transformers() -> None:
    # transformers 5 makes `import mmpretrain.models` die of "NoneType takes no arguments".
    try:
        version = metadata.version('transformers')
    except metadata.PackageNotFoundError:
        return
    major = version.split('.')[0]
    if major.isdigit() and int(major) >= 5:
        raise UserError(
            f'transformers {version} does not fit: mmpretrain cannot be imported beside transformers 5; '
            'run: pip install "transformers>=4.53,<5"'
        )
