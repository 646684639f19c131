"""Files that come with the package, ``configs/`` and ``tools/``: those of the checkout, or of the installed package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped_folder(name: str) -> Path:
    """Folder ``configs`` or ``tools`` of the checkout, or the copy that is installed with the package (``.mim``).

    Args:
        name: Its name.
    """
    # Next to an installed package lie those of others, some of which are called "tools".
    checkout = _PACKAGE.parent
    return (checkout if (checkout / 'pyproject.toml').is_file() else _PACKAGE / '.mim') / name


def find_shipped(path: str | Path) -> Path:
    """A file as it is named; or, where the current folder has no such ``configs/...`` or ``tools/...``, the package's.

    Args:
        path: As a user or a chain config names it.

    Returns:
        A path that exists, or else ``path``.
    """
    path = Path(path)
    if not path.is_file() and path.parts and path.parts[0] in ('configs', 'tools'):
        shipped = shipped_folder(path.parts[0]).joinpath(*path.parts[1:])
        return shipped if shipped.is_file() else path
    return path
