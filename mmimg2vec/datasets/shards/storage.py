"""Ranges of bytes of a folder's files, local by ``pread`` or in an object store by fsspec."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

from mmimg2vec.errors import UserError

# Files that a process keeps open; systems allow 1024 and more.
_OPEN_FILES = 128


class Storage:
    """A folder, on disk or behind a URL such as ``s3://bucket/folder``, which fsspec's back ends read.

    Args:
        folder: Path or URL.

    Raises:
        UserError: The back end of the URL is not installed.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder if '://' in folder else str(Path(folder).expanduser())
        self._files: OrderedDict[str, int] = OrderedDict()
        if self.is_remote:
            self._backend()

    @property
    def is_remote(self) -> bool:
        """Whether the folder is behind a URL."""
        return '://' in self.folder

    def sizes(self) -> dict[str, int]:
        """Name -> bytes of each file in the folder.

        Raises:
            FileNotFoundError: There is no such folder.
            UserError: The back end is not installed.
        """
        if not self.is_remote:
            with os.scandir(self.folder) as entries:
                return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
        backend, root = self._backend()
        return {entry['name'].rsplit('/', 1)[-1]: entry['size'] for entry in backend.ls(root, detail=True)}

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """Bytes of a file.

        Args:
            name: The file.
            start: First byte.
            size: Number of bytes; None reads to the end.

        Raises:
            OSError: The file is missing, cannot be read, or is shorter.
            UserError: The back end is not installed.
        """
        if self.is_remote:
            backend, root = self._backend()
            data = backend.cat_file(f'{root}/{name}', start, None if size is None else start + size)
        elif size is None:
            data = Path(self.folder, name).read_bytes()[start:]
        else:
            data = os.pread(self._descriptor(name), size, start)
        if size is not None and len(data) < size:
            raise OSError(f'{name} ends after {len(data)} of the {size} bytes from byte {start} on')
        return data

    def _backend(self) -> tuple[Any, str]:
        """The file system of fsspec, which it keeps by itself and makes anew in a forked process, and the path in it.

        Raises:
            UserError: It is not installed.
        """
        try:
            import fsspec

            return fsspec.core.url_to_fs(self.folder)
        except (ImportError, ValueError) as error:
            raise UserError(
                f'{self.folder} cannot be read: {error}; install the fsspec package of this store'
            ) from error

    def _descriptor(self, name: str) -> int:
        """The open file; the one that was used longest ago is closed where there are many."""
        if name not in self._files:
            self._files[name] = os.open(Path(self.folder, name), os.O_RDONLY)
            if len(self._files) > _OPEN_FILES:
                os.close(self._files.popitem(last=False)[1])
        self._files.move_to_end(name)
        return self._files[name]

    def __reduce__(self) -> tuple:
        return Storage, (self.folder,)

    def __del__(self) -> None:
        for descriptor in getattr(self, '_files', {}).values():
            os.close(descriptor)
