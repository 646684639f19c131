"""The index of a folder of shards: where each image lies, in arrays that are mapped rather than read.

A shard is a plain tar file, which ``tar`` and webdataset read. The index is three files beside the shards:

- ``index.json``: name, bytes and number of images of each shard, and the names of the classes;
- ``index.npy``: an entry of 28 bytes per image, see :data:`ENTRY`;
- ``index_names.npy``: the bytes of all names, one behind the other.

Nothing is kept per image in Python: a million images take 28 MB and their names, shared by all processes.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mmimg2vec.datasets.errors import DataError
from mmimg2vec.datasets.reading import IMAGE_SUFFIXES
from mmimg2vec.datasets.shards.storage import Storage
from mmimg2vec.errors import UserError
from mmimg2vec.utils.write import write_atomically, write_json

#: Of an image: number of its shard, number of its class folder or -1, first byte and size of its file in the shard,
#: first byte of its name.
ENTRY = np.dtype([('shard', '<u4'), ('label', '<i4'), ('offset', '<u8'), ('size', '<u4'), ('name', '<u8')])
INDEX = 'index.json'
_ENTRIES, _NAMES = 'index.npy', 'index_names.npy'
_FORMAT = 1
_BLOCK = 512  # bytes of the header before a file in a tar
_CURE = (
    'copy the folder again, or remove index.json and the damaged shard and run tools/dataset_converters/make_shards.py '
    'as before'
)


@dataclass(frozen=True)
class ShardIndex:
    """The index of a folder of shards.

    Attributes:
        storage: Where the shards lie.
        shards: Their names.
        classes: Names of the class folders, in the order of their labels.
        entries: ``(N,)`` of :data:`ENTRY`, by shard.
        names: uint8, the bytes of all names.
        settings: What the shards were made with.
    """

    storage: Storage
    shards: tuple[str, ...]
    classes: tuple[str, ...]
    entries: np.ndarray
    names: np.ndarray
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.entries)

    def __reduce__(self) -> tuple:
        return open_index, (self.storage.folder,)  # a process that is not forked maps the files by itself

    def name(self, number: int) -> str:
        """Name of an image in its shard."""
        end = self.entries['name'][number + 1] if number + 1 < len(self) else len(self.names)
        return bytes(self.names[self.entries['name'][number] : end]).decode('utf-8', 'surrogateescape')

    def path(self, number: int) -> str:
        """Folder, shard and name of an image, for messages."""
        return f'{self.storage.folder}/{self.shards[self.entries["shard"][number]]}/{self.name(number)}'

    def read(self, number: int) -> bytes:
        """The bytes of an image file.

        Raises:
            OSError: The shard cannot be read, or is too short.
            DataError: The index does not belong to the shard.
        """
        entry = self.entries[number]
        shard, size = self.shards[entry['shard']], int(entry['size'])
        data = self.storage.read(shard, int(entry['offset']) - _BLOCK, size + _BLOCK)
        # The header that stands before each file in a tar: its size in octal digits, and what kind of header it is.
        if data[257:262] != b'ustar' or data[124:136].strip(b'\0 ') != b'%011o' % size:
            raise DataError(f'{INDEX} of {self.storage.folder} does not belong to {shard}: {_CURE}')
        return data[_BLOCK:]


def open_index(folder: str) -> ShardIndex:
    """Open the index of a folder of shards, and check that they are those it was made of.

    Args:
        folder: Path or URL.

    Raises:
        UserError: There is no index, or it does not belong to the shards, or one of them is cut short.
    """
    storage = Storage(folder)
    try:
        sizes = storage.sizes()
        described = json.loads(storage.read(INDEX))
        entries, names = (_load(storage, name) for name in (_ENTRIES, _NAMES))
    except FileNotFoundError as error:
        raise UserError(
            f'no shards with an index in {folder} ({error}): make them with tools/dataset_converters/make_shards.py'
        ) from error
    except ValueError as error:
        raise UserError(f'the index of {folder} is broken ({error}): {_CURE}') from error
    if described.get('format') != _FORMAT:
        raise UserError(f'{INDEX} of {folder} has the format {described.get("format")}, not {_FORMAT}: {_CURE}')
    count = sum(shard['images'] for shard in described['shards'])
    if entries.dtype != ENTRY or len(entries) != count or len(names) != described['bytes_of_names']:
        raise UserError(f'{INDEX}, {_ENTRIES} and {_NAMES} of {folder} do not belong together: {_CURE}')
    for shard in described['shards']:
        if sizes.get(shard['name']) != shard['bytes']:
            found = f'has {sizes[shard["name"]]} bytes' if shard['name'] in sizes else 'is missing'
            raise UserError(f'{shard["name"]} in {folder} {found}, by {INDEX} it has {shard["bytes"]}: {_CURE}')
    shards = tuple(shard['name'] for shard in described['shards'])
    return ShardIndex(storage, shards, tuple(described['classes']), entries, names, described['settings'])


def write_index(folder: Path, shards: list[str], settings: Mapping[str, Any]) -> None:
    """Write the index of shards.

    Args:
        folder: Where they are.
        shards: Their names, in order.
        settings: What they were made with, to be kept.
    """
    described: list[dict[str, Any]] = []
    parts: list[np.ndarray] = [np.zeros(0, ENTRY)]
    folders: dict[str, int] = {}  # name -> its number in the order in which they are met
    names = bytearray()
    for number, shard in enumerate(shards):
        rows = []
        with tarfile.open(folder / shard) as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if not member.isfile() or path.suffix.lower() not in IMAGE_SUFFIXES:
                    continue
                label = folders.setdefault(path.parts[0], len(folders)) if len(path.parts) > 1 else -1
                rows.append((number, label, member.offset_data, member.size, len(names)))
                names += member.name.encode('utf-8', 'surrogateescape')
        parts.append(np.array(rows, ENTRY))
        described.append({'name': shard, 'bytes': (folder / shard).stat().st_size, 'images': len(rows)})
    entries = np.concatenate(parts)
    classes = sorted(folders)
    # The number in their own order; -1, of images in no folder, takes the last.
    labels = np.array([*(classes.index(name) for name in folders), -1], np.int32)
    entries['label'] = labels[entries['label']]
    _save(folder / _ENTRIES, entries)
    _save(folder / _NAMES, np.frombuffer(bytes(names), np.uint8))
    write_json(
        folder / INDEX,
        {
            'format': _FORMAT,
            'shards': described,
            'classes': classes,
            'bytes_of_names': len(names),
            'settings': dict(settings),
        },
    )


def _save(path: Path, array: np.ndarray) -> None:
    buffer = io.BytesIO()  # np.save would give the name of a path an ending
    np.save(buffer, array)
    write_atomically(path, lambda part: part.write_bytes(buffer.getbuffer()))


def _load(storage: Storage, name: str) -> np.ndarray:
    if storage.is_remote:
        return np.load(io.BytesIO(storage.read(name)), allow_pickle=False)
    path = Path(storage.folder, name)
    if path.stat().st_size < 256:  # nothing behind the header can be mapped
        return np.load(path, allow_pickle=False)
    return np.asarray(np.load(path, mmap_mode='r', allow_pickle=False))
