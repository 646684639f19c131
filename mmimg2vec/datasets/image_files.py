"""Which images are meant, and what their pictures are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mmcv

from mmimg2vec.datasets.transforms.loading import missing_end
from mmimg2vec.errors import UserError

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.ppm', '.pgm', '.tif', '.tiff', '.webp')


def find_images(sources: Sequence[str | Path], out: Path) -> dict[Path, str]:
    """List the images that files and folders stand for.

    Args:
        sources: Image files, and folders, of which all images at any depth are taken, those in ``out`` excepted.
        out: Folder of the results.

    Returns:
        Image -> name of its picture, without suffix, different for each; in the order given, folders sorted.

    Raises:
        UserError: A source does not exist, a folder has no images, or a picture would overwrite an image.
    """
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for source in map(Path, sources):
        for path in _files(source, out):
            if path in names:
                continue
            base = path.relative_to(source) if source.is_dir() else Path(path.name)
            stem = '_'.join(base.with_suffix('').parts)
            name, count = stem, 1
            while name in taken:
                count += 1
                name = f'{stem}_{count}'
            taken.add(name)
            names[path] = name
    if not names:
        raise UserError('no images: name image files or folders with images')
    inputs = {path.resolve() for path in names}
    for name in names.values():
        if (out / f'{name}.png').resolve() in inputs:
            raise UserError(f'{out} holds the images themselves: name another folder for --out')
    return names


def unreadable(path: Path) -> str | None:
    """Why an image cannot be read, or None."""
    try:
        data = path.read_bytes()
        if not data:
            return 'empty file'
        if missing_end(data):
            return 'cut short'
        if mmcv.imfrombytes(data) is None:
            return 'not decodable as an image'
    except Exception as error:  # each decoder has exceptions of its own for what it cannot read
        return f'not readable ({" ".join(str(error).split())})'
    return None


def _files(source: Path, out: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f'no image or folder {source}: check the path')
    results = out.resolve()
    found = sorted(
        path
        for path in source.rglob('*')
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        # What an earlier run wrote below the images is no input.
        and not (results != source.resolve() and path.resolve().is_relative_to(results))
    )
    if not found:
        raise UserError(
            f'no images in {source}: files named {", ".join(f"*{suffix}" for suffix in SUFFIXES)} are taken'
        )
    return found
