"""Embeddings of images by the frozen backbone of a file, written while they are made."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.device import get_device
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmimg2vec.checkpoint.backbone_file import read_backbone, vit_features
from mmimg2vec.datasets.errors import DataError, UnreadableImage
from mmimg2vec.datasets.image_files import find_images
from mmimg2vec.environment import require
from mmimg2vec.errors import UserError
from mmimg2vec.evaluation.features import pool_tokens
from mmimg2vec.inference.predict import check_share
from mmimg2vec.models.teachers.base import IMAGENET_MEAN, IMAGENET_STD
from mmimg2vec.teacher_selection.images import load_image
from mmimg2vec.utils.write import move_into_place, write_json

#: What an image becomes: its class token (C,), the mean of its patch tokens (C,), or all patch tokens (L, C).
KINDS = ('cls', 'mean', 'patches')
FORMATS = ('npy', 'parquet')
#: Name of the files, without an ending.
NAME = 'embeddings'


class Batch(NamedTuple):
    """Tokens of some images.

    Attributes:
        paths: Of the images.
        pictures: uint8 (B, 3, H, W), RGB: what the network saw, before normalization.
        tokens: float32 (B, 1+L, C) on the CPU with the class token first, (B, L, C) where there is none, or (B, C).
    """

    paths: list[Path]
    pictures: Tensor
    tokens: Tensor


class Embedder:
    """A frozen vision transformer that reads files.

    Args:
        backbone: ``backbone.pth`` of a run, or one of its checkpoints; nothing in it is executed.
        img_size: Side of the images in pixels; None is that of pre-training.
        device: Such as ``'cpu'``; None is an accelerator where there is one.
        arch: mmpretrain's name of the architecture, where the file carries no config.
        num_heads: The number of attention heads, where the file carries no config.

    Attributes:
        class_token: Whether the tokens begin with one.
        grid: Rows and columns of patches.

    Raises:
        UserError: The file holds no plain vision transformer, or the size is no multiple of its patches.
    """

    def __init__(
        self,
        backbone: str | Path,
        img_size: int | None = None,
        device: str | None = None,
        arch: str | None = None,
        num_heads: int | None = None,
    ) -> None:
        read = read_backbone(backbone, arch, num_heads)
        architecture, description = read.architecture, read.description
        if architecture.in_channels != 3:
            raise UserError(f'{backbone} takes images of {architecture.in_channels} channels: files have 3')
        self.img_size = img_size or min(architecture.img_size)
        if any(self.img_size % side for side in architecture.patch_size):
            raise UserError(f'{self.img_size} px do not divide into patches of {architecture.patch_size[0]} px')
        self.device = torch.device(device or get_device())
        self.class_token = architecture.class_token and not architecture.mean_norm
        self.grid = tuple(self.img_size // side for side in architecture.patch_size)
        self.pooled = architecture.mean_norm
        self.network = read.build().to(self.device)
        mean, std = description.mean or IMAGENET_MEAN, description.std or IMAGENET_STD
        shape = (1, 3, 1, 1)
        self.mean = torch.tensor(mean, device=self.device).view(shape)
        self.std = torch.tensor(std, device=self.device).view(shape)

    def check(self, kind: str) -> None:
        """Check that the network gives such embeddings.

        Raises:
            UserError: It does not.
        """
        if kind not in KINDS:
            raise UserError(f'embeddings {kind!r} are unknown: choose one of {", ".join(KINDS)}')
        if kind == 'cls' and not self.class_token:
            raise UserError("the backbone has no class token: take the mean of the patches ('mean')")
        if kind == 'patches' and self.pooled:
            raise UserError("the backbone gives one vector per image and no patches: take 'mean'")

    def pool(self, tokens: Tensor, kind: str) -> Tensor:
        """Embeddings (B, C), or (B, L, C) of ``'patches'``."""
        if self.pooled:
            return tokens
        if kind == 'patches':
            return self.patches(tokens)
        return pool_tokens(tokens, 'cls') if kind == 'cls' else self.patches(tokens).mean(1)

    def patches(self, tokens: Tensor) -> Tensor:
        """The patch tokens (B, L, C)."""
        return tokens[:, 1:] if self.class_token else tokens

    @torch.no_grad()
    def read(
        self,
        paths: Sequence[Path],
        batch_size: int = 64,
        workers: int = 0,
        skipped: Callable[[Path, str], None] = lambda path, reason: None,
    ) -> Iterator[Batch]:
        """Yield the tokens of images, batch after batch: memory does not grow with their number.

        Args:
            paths: Of the images.
            batch_size: Images that go through the network at once.
            workers: Processes that load images; 0 loads them here.
            skipped: Called with the path and the reason of an image that cannot be read.
        """
        images = _Images(paths, self.img_size)
        for items in DataLoader(images, batch_size=batch_size, num_workers=workers, collate_fn=list):
            for index, item in items:
                if isinstance(item, str):
                    skipped(paths[index], item)
            found = [(paths[index], item) for index, item in items if isinstance(item, Tensor)]
            if not found:
                continue
            pictures = torch.stack([picture for _, picture in found])
            inputs = (pictures.to(self.device).float() - self.mean) / self.std
            yield Batch([path for path, _ in found], pictures, vit_features(self.network, inputs).float().cpu())


class _Images(Dataset):
    """Index and picture of each image, or index and why there is none."""

    def __init__(self, paths: Sequence[Path], size: int) -> None:
        self.paths, self.size = paths, size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[int, Tensor | str]:
        try:
            return index, load_image(self.paths[index], self.size)
        except UnreadableImage as error:
            return index, error.reason
        except DataError as error:
            return index, str(error)


def embed(
    embedder: Embedder,
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    kind: str = 'cls',
    file_format: str = 'npy',
    batch_size: int = 64,
    workers: int = 0,
    report: Callable[[str], None] | None = None,
    max_share: float = 0.01,
) -> dict[str, Any]:
    """Write embeddings of images: ``out/embeddings.npy``, or ``.parquet``, and ``out/embeddings.json``.

    Args:
        embedder: What makes them.
        images: Image files, and folders with images.
        out: Folder of the results.
        kind: Of :data:`KINDS`.
        file_format: ``'npy'``: float32 (N, C), or (N, L, C) of patches, whose rows are the ``images`` of the JSON file;
            ``'parquet'``: columns ``image`` and ``embedding``, a list, of patches row by row.
        batch_size: Images at once.
        workers: Processes that load images.
        report: Called with a line now and then.
        max_share: Largest share of images that may fail, 0 to 1; a single one always may, unless it is 0.

    Returns:
        What ``embeddings.json`` holds: ``kind``, ``shape``, ``img_size``, ``grid``, ``images`` and ``skipped`` (each
        with ``image`` and ``reason``).

    Raises:
        UserError: There is no readable image, pyarrow is missing, or (all else being written) too many images fail.
    """
    embedder.check(kind)
    if file_format not in FORMATS:
        raise UserError(f'format {file_format!r} is unknown: choose one of {", ".join(FORMATS)}')
    out = Path(out)
    paths = list(find_images([images] if isinstance(images, str | Path) else images, out, report))
    target = out / f'{NAME}.{file_format}'
    writer: _Npy | _Parquet = _Npy(target, len(paths)) if file_format == 'npy' else _Parquet(target)
    names: list[str] = []
    skipped: dict[Path, str] = {}
    with writer:
        for batch in with_progress(
            embedder.read(paths, batch_size, workers, skipped.__setitem__), len(paths), lambda: len(skipped), report
        ):
            names += map(str, batch.paths)
            writer.add(batch.paths, embedder.pool(batch.tokens, kind).numpy())
        if not names:
            first, reason = next(iter(skipped.items()))
            raise UserError(f'none of the {len(paths)} images can be read (first: {first}: {reason})')
    result = {
        'kind': kind,
        'shape': [len(names), *writer.shape],
        'img_size': embedder.img_size,
        'grid': list(embedder.grid),
        'images': names,
        'skipped': [{'image': str(path), 'reason': reason} for path, reason in skipped.items()],
    }
    write_json(out / f'{NAME}.json', result)
    check_share(skipped, len(paths), max_share, out / f'{NAME}.json')
    return result


def with_progress(
    batches: Iterator[Batch], total: int, failed: Callable[[], int], report: Callable[[str], None] | None
) -> Iterator[Batch]:
    """Yield the batches, with a line at most every five seconds of how far they are."""
    done, start = 0, time.monotonic()
    last = start
    for batch in batches:
        yield batch
        done += len(batch.paths)
        now = time.monotonic()
        if report is not None and (now - last > 5 or done + failed() == total):
            last = now
            report(f'{done + failed()}/{total} images, {done / max(now - start, 1e-9):.0f} per second')


class _Part:
    """A file that is written beside its name and gets it at the end, or is removed."""

    shape: tuple[int, ...] = ()

    def __init__(self, path: Path) -> None:
        self.path, self.part = path, Path(f'{path}.part')
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f'{path.parent} cannot be made a folder for the results: {error}') from error

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: type[BaseException] | None, *others: object) -> None:
        self.close()
        if kind is None:
            move_into_place(self.part, self.path)
        else:
            self.part.unlink(missing_ok=True)

    def close(self) -> None:
        """Bring the file to its end."""


class _Npy(_Part):
    """Rows of a ``.npy`` file, whose number is known at the end."""

    def __init__(self, path: Path, most: int) -> None:
        super().__init__(path)
        self.most, self.count, self.file = most, 0, self.part.open('wb')

    def add(self, paths: Sequence[Path], rows: np.ndarray) -> None:
        if not self.count:
            self.shape = rows.shape[1:]
            self.file.write(self._header(self.most))
        self.count += len(rows)
        self.file.write(np.ascontiguousarray(rows, np.float32).tobytes())

    def close(self) -> None:
        # numpy leaves room in the header for a longer first number, so it stays as long as it was.
        self.file.seek(0)
        self.file.write(self._header(self.count))
        self.file.close()

    def _header(self, count: int) -> bytes:
        header = io.BytesIO()
        settings = {'descr': '<f4', 'fortran_order': False, 'shape': (count, *self.shape)}
        np.lib.format.write_array_header_1_0(header, settings)
        return header.getvalue()


class _Parquet(_Part):
    """A ``.parquet`` file with a row per image."""

    def __init__(self, path: Path) -> None:
        self.arrow = require('pyarrow', 'Writing parquet')
        self.parquet = require('pyarrow.parquet', 'Writing parquet', 'pyarrow')
        super().__init__(path)
        self.writer: Any = None

    def add(self, paths: Sequence[Path], rows: np.ndarray) -> None:
        self.shape = rows.shape[1:]
        flat = self.arrow.array(np.ascontiguousarray(rows, np.float32).reshape(-1))
        lists = self.arrow.FixedSizeListArray.from_arrays(flat, int(np.prod(self.shape)))
        columns: Mapping[str, Any] = {'image': [str(path) for path in paths], 'embedding': lists}
        table = self.arrow.table(columns)
        if self.writer is None:
            self.writer = self.parquet.ParquetWriter(self.part, table.schema)
        self.writer.write_table(table)

    def close(self) -> None:
        if self.writer is None:
            self.part.touch()
        else:
            self.writer.close()
