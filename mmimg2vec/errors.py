"""Mistakes that a user can make and mend, reported in one line.

A configuration or data mistake should read as a sentence, not as a stack trace from five layers down.
Code that finds one raises :class:`UserError`; the hook installed here prints its message alone, also in
scripts that are not ours (``mim train mmpretrain ...`` runs mmpretrain's own ``tools/train.py``).
"""

from __future__ import annotations

import sys
from types import TracebackType


class UserError(RuntimeError):
    """A mistake in a config, a path or the data: what is wrong, where, and the cure, in one line."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(' '.join(str(message).split())))


def printable(text: str) -> str:
    """Text that every terminal and log file takes: bytes of a name that are no UTF-8 are written in hexadecimal."""
    return text.encode('utf-8', 'surrogateescape').decode('utf-8', 'backslashreplace')


_previous_excepthook = sys.excepthook


def _print_user_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, UserError):
        print(f'mmimg2vec: error: {error}', file=sys.stderr)
    else:
        _previous_excepthook(kind, error, trace)


def install_excepthook() -> None:
    """Print an uncaught :class:`UserError` as one line; every other exception keeps its stack trace."""
    global _previous_excepthook
    if sys.excepthook is not _print_user_error:
        _previous_excepthook = sys.excepthook
        sys.excepthook = _print_user_error
