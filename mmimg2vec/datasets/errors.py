"""Errors of the data side: one that ends a run, and one that only costs a sample."""

from __future__ import annotations

from mmimg2vec.errors import UserError, printable


class DataError(UserError):
    """A :class:`~mmimg2vec.errors.UserError` that keeps its one line when a DataLoader worker raises it.

    torch rebuilds a worker's exception in the main process with the worker's whole stack trace as the
    message; what the user needs is its last line.
    """

    def __init__(self, message: str) -> None:
        super().__init__(str(message).strip().split(f'{type(self).__qualname__}: ')[-1])


class UnreadableImage(Exception):
    """An image that cannot be used: missing, empty, cut short, not decodable, too large or of another size.

    Args:
        path: The file.
        reason: What is wrong with it, in one line.
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = str(path), ' '.join(str(reason).split())
        super().__init__(printable(f'{self.path}: {self.reason}'))
