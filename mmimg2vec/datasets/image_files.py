"""Which images are meant, and what their pictures are called."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mmimg2vec.datasets.reading import IMAGE_SUFFIXES, is_hidden, unreadable
from mmimg2vec.errors import UserError

__all__ = ['find_images', 'left_out_text', 'look_through', 'unreadable']


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


def _files(source: Path, out: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f'no image or folder {source}: check the path')
    found, left_out = look_through(source)
    results = out.resolve()
    # What an earlier run wrote below the images is no input.
    if results != source.resolve():
        found = [path for path in found if not path.resolve().is_relative_to(results)]
    if not found:
        raise UserError(
            f'no images in {source}: files named {", ".join(f"*{suffix}" for suffix in IMAGE_SUFFIXES)} are taken'
            + left_out_text(left_out)
        )
    return found


def look_through(folder: str | Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> tuple[list[Path], Counter[str]]:
    """Find the images in a folder, at any depth.

    Args:
        folder: The folder.
        suffixes: Endings of images, in lower case.

    Returns:
        The images, sorted, and what was left out: ``'*.ENDING'`` or ``'hidden'`` -> number of files.
    """
    found, left_out = [], Counter()
    for root, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        for name in names:
            path = Path(root, name)
            if is_hidden(path.relative_to(folder)):
                left_out['hidden'] += 1
            elif path.suffix.lower() in suffixes:
                found.append(path)
            else:
                left_out[f'*{path.suffix.lower()}' if path.suffix else 'without ending'] += 1
    return sorted(found), left_out


def left_out_text(left_out: Counter[str]) -> str:
    """``'; left out: 3 *.gif, 2 hidden'``, or nothing."""
    named = ', '.join(f'{count} {kind}' for kind, count in left_out.most_common(5))
    return f'; left out: {named}' if named else ''
