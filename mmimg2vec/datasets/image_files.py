"""Images of files and folders: which are meant, which a folder dataset holds, which could not be read."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from mmimg2vec.datasets.errors import UnreadableImage
from mmimg2vec.datasets.reading import IMAGE_SUFFIXES, is_hidden, unreadable
from mmimg2vec.errors import UserError
from mmimg2vec.utils.json_lines import JsonLines, read_json_lines

__all__ = ['UnreadableList', 'find_images', 'find_samples', 'left_out_text', 'look_through', 'read_list', 'unreadable']

# What mmpretrain takes where a config names no extensions: .tiff and .webp are missing.
_DEFAULT_EXTENSIONS = frozenset(('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif'))


def find_images(
    sources: Sequence[str | Path], out: Path, report: Callable[[str], Any] | None = None
) -> dict[Path, str]:
    """List the images that files and folders stand for.

    Args:
        sources: Image files, and folders, of which all images at any depth are taken, but not those in an ``out``
            inside.
        out: Folder of the results.
        report: Called with a line: how many images were found, and what was left out.

    Returns:
        Image -> name of its picture, without suffix, different for each; in the order given, folders sorted.

    Raises:
        UserError: A source does not exist, a folder has no images, or a picture would overwrite an image.
    """
    names: dict[Path, str] = {}
    taken: set[str] = set()
    left_out: Counter[str] = Counter()
    for source in map(Path, sources):
        for path in _files(source, out, left_out):
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
    if report is not None:
        report(f'{len(names)} images found{left_out_text(left_out)}')
    return names


def _files(source: Path, out: Path, left_out: Counter[str]) -> list[Path]:
    """The images of a source; what is left out is counted.

    Raises:
        UserError: It does not exist, or has no images.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f'no image or folder {source}: check the path')
    found, others = look_through(source)
    left_out += others
    results = out.resolve()
    # What an earlier run wrote below the images is no input; images may well lie below the folder of the results.
    if results != source.resolve() and results.is_relative_to(source.resolve()):
        found = [path for path in found if not path.resolve().is_relative_to(results)]
    if not found:
        raise UserError(
            f'no images in {source}: files named {", ".join(f"*{suffix}" for suffix in IMAGE_SUFFIXES)} are taken'
            + left_out_text(others)
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
    found: list[Path] = []
    left_out: Counter[str] = Counter()
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not _leads_back(Path(root, name)))
        for name in names:
            path = Path(root, name)
            if is_hidden(path.relative_to(folder)):
                left_out['hidden'] += 1
            elif path.suffix.lower() in suffixes:
                found.append(path)
            else:
                left_out[f'*{path.suffix.lower()}' if path.suffix else 'without ending'] += 1
    return sorted(found), left_out


def _leads_back(folder: Path) -> bool:
    """Whether a folder is a link to one that it lies in: there is no end to such a walk."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def left_out_text(left_out: Counter[str]) -> str:
    """``'; left out: 3 *.gif, 2 hidden'``, or nothing."""
    named = ', '.join(f'{count} {kind}' for kind, count in left_out.most_common(5))
    return f'; left out: {named}' if named else ''


def find_samples(dataset: Any, classes: Sequence[str] | None, config_key: str) -> list:
    """Take the place of ``mmpretrain.CustomDataset._find_samples``.

    Hidden files and folders are left out; without extensions in the config all of ``IMAGE_SUFFIXES`` are taken. Folders
    named as classes get the labels of these, so that a class may lack its folder; other folders are numbered in the
    order of their names, as mmpretrain does. What is left out is kept as ``dataset.left_out``, folders without an image
    as ``dataset.empty_classes``.

    Args:
        dataset: The dataset.
        classes: Names of the classes where the dataset has none of its own.
        config_key: Where the dataset stands in the config, for error messages.

    Returns:
        Paths relative to ``dataset.img_prefix``, with ``with_label`` each with its label.

    Raises:
        UserError: There are no images, or the folders are not the classes.
    """
    extensions = dataset.extensions
    if set(extensions) == _DEFAULT_EXTENSIONS:
        extensions = IMAGE_SUFFIXES
    root = Path(dataset.img_prefix)
    paths, dataset.left_out = look_through(root, tuple(extensions))
    names = [path.relative_to(root) for path in paths]
    if not names:
        raise UserError(_no_images(root, dataset.left_out, config_key))
    if not dataset.with_label:
        return [str(name) for name in names]
    outside = [name for name in names if len(name.parts) == 1]
    if len(outside) == len(names):
        raise UserError(
            f'no folders of classes in {root}, only images: For unlabeled images set with_label=False, else put the '
            f'images of each class into a folder ({config_key})'
        )
    if outside:
        dataset.left_out['images outside the folders of classes'] = len(outside)
    folders = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith('.'))
    labels = label_folders(folders, dataset.CLASSES, classes, root, config_key)
    if dataset.CLASSES is None:
        dataset._metainfo['classes'] = tuple(classes or folders)
    dataset.folder_to_idx = labels
    samples = [(str(name), labels[name.parts[0]]) for name in names if len(name.parts) > 1]
    filled = {label for _, label in samples}
    dataset.empty_classes = [name for number, name in enumerate(dataset.CLASSES) if number not in filled]
    return samples


def label_folders(
    folders: list[str], given: Sequence[str] | None, others: Sequence[str] | None, root: str | Path, config_key: str
) -> dict[str, int]:
    """Folder -> label.

    Args:
        folders: Names of the folders of images.
        given: The dataset's own classes.
        others: Those that are trained on, or vote.
        root: Where the folders are, for messages.
        config_key: Where the dataset stands in the config, for messages.

    Raises:
        UserError: The folders are not the classes.
    """
    classes = given or others or folders
    if set(folders) <= set(classes):
        return {folder: list(classes).index(folder) for folder in folders}
    if given is None:  # the classes are names of folders
        unknown = next(folder for folder in folders if folder not in classes)
        raise UserError(
            f'{root} has the folder {unknown}, which is none of the {len(classes)} classes that are trained on or vote '
            f'({", ".join(list(classes)[:3])} ...): remove it, or add the class there ({config_key})'
        )
    if len(folders) != len(classes):
        raise UserError(
            f"The number of subfolders ({len(folders)}) of {root} doesn't match the number of specified classes "
            f'({len(classes)}): correct {config_key}.metainfo.classes or the folders. For unlabeled images set '
            'with_label=False'
        )
    return {folder: number for number, folder in enumerate(folders)}


def _no_images(root: Path, left_out: Counter[str], config_key: str) -> str:
    text = f'no images in {root}: set data_root in the config, or pass --cfg-options {config_key}.data_root=FOLDER'
    endings = [(count, kind[1:]) for kind, count in left_out.items() if kind.startswith('*.')]
    if not endings:
        return text + left_out_text(left_out)
    count, ending = max(endings)
    first = next(path for path in sorted(root.rglob('*')) if path.suffix.lower() == ending)
    reason = unreadable(first)
    if reason is not None:
        return f'{text}; it holds {count} files {ending}, which are not read ({first.name}: {reason}): convert them'
    return f"{text}; it holds {count} files {ending}: to read them set {config_key}.extensions=['{ending}']"


class UnreadableList:
    """Names each unreadable image once: in the log, and as soon as there is one in a file of JSON lines.

    The processes of a run share the file. A line of it is ``{"image": ..., "reason": ...}``; names that are no UTF-8
    are written with the escapes that Python's file functions take back.
    """

    def __init__(self) -> None:
        self._file: JsonLines | None = None
        self._met: dict[str, str] = {}

    def write_to(self, path: str | Path) -> None:
        """Write into this file from now on, those met so far included."""
        self._file = JsonLines(path, key='image')
        for image, reason in self._met.items():
            self._file.append({'image': image, 'reason': reason})

    def add(self, unreadable: UnreadableImage) -> None:
        """Name an image, where no process has yet."""
        if unreadable.path in self._met:
            return
        self._met[unreadable.path] = unreadable.reason
        if self._file is None:
            print_log(f'unreadable image: {unreadable}', 'current', logging.WARNING)
        else:
            self._file.append({'image': unreadable.path, 'reason': unreadable.reason})


def read_list(path: str | Path) -> dict[str, str]:
    """Image -> reason, from the file of an :class:`UnreadableList`; nothing where there is none."""
    return {entry['image']: entry['reason'] for entry in read_json_lines(path) if {'image', 'reason'} <= set(entry)}
