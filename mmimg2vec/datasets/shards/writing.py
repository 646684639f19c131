"""Making shards of a folder of images: shrunk, in parallel, to be gone on with where it was interrupted."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from mmimg2vec.datasets.errors import DataError, UnreadableImage
from mmimg2vec.datasets.headers import is_jpeg, stored_size
from mmimg2vec.datasets.image_files import UnreadableList, left_out_text, look_through, read_list
from mmimg2vec.datasets.reading import REDUCTIONS, decode, read_bytes
from mmimg2vec.datasets.shards.index import INDEX, write_index
from mmimg2vec.errors import UserError
from mmimg2vec.utils.write import write_atomically, write_json

_PLAN, _UNREADABLE = 'plan.json', 'unreadable_images.jsonl'
_CHUNK = 16  # images that a process is given at a time
_SECONDS = 10  # between two lines of progress


@dataclass(frozen=True)
class ShardOptions:
    """How shards are made.

    Attributes:
        short_side: Larger images are shrunk until their shorter side has so many pixels; none is enlarged. 0 keeps all.
        quality: Of the JPEG files that shrunk images become, 1 to 100.
        per_shard: Images in a shard.
        max_share: Largest accepted share of unreadable images; a single one is always accepted where it is above 0.
    """

    short_side: int = 320
    quality: int = 90
    per_shard: int = 2000
    max_share: float = 0.01

    def __post_init__(self) -> None:
        for name, low, high in (('short_side', 0, 1 << 16), ('quality', 1, 100), ('per_shard', 1, 1 << 20)):
            if not low <= getattr(self, name) <= high:
                option = '--' + name.replace('_', '-')
                raise UserError(f'{option} {getattr(self, name)} is out of range: set it from {low} to {high}')


class _Member(NamedTuple):
    data: bytes
    suffix: str
    is_shrunk: bool


def make_shards(
    images: Path, out: Path, options: ShardOptions, jobs: int = 1, report: Callable[[str], Any] = print
) -> None:
    """Write the images of a folder into shards, and their index.

    The images are shuffled, the same way each time, so that those of a shard are of all classes. A shard has its name
    when it is whole: a second call goes on after the last one. An image that cannot be read is left out and named in
    ``unreadable_images.jsonl``. Names are the paths in ``images``, class folders included; where webdataset would take
    two for one sample they get a number.

    Args:
        images: Folder of images, at any depth.
        out: Folder of the shards.
        options: How they are made.
        jobs: Processes.
        report: Called with lines of progress.

    Raises:
        UserError: There are no images, too many are unreadable, or ``out`` holds shards of others.
    """
    if not images.is_dir():
        raise UserError(f'no folder {images}: check the path')
    paths, left_out = look_through(images)
    report(f'{len(paths)} images found in {images}{left_out_text(left_out)}')
    if not paths:
        raise UserError(f'no images in {images}{left_out_text(left_out)}')
    names = member_stems([path.relative_to(images) for path in paths])
    order = np.random.RandomState(0).permutation(len(paths))
    groups = [order[start : start + options.per_shard] for start in range(0, len(order), options.per_shard)]
    shards = [f'shard-{number:06d}.tar' for number in range(len(groups))]
    _begin(out, paths, images, options)
    unreadable = UnreadableList()
    met = read_list(out / _UNREADABLE)
    unreadable.write_to(out / _UNREADABLE)
    missing = [number for number, shard in enumerate(shards) if not (out / shard).is_file()]
    progress = _Progress(sum(len(groups[number]) for number in missing), len(paths), report)
    tasks = [[(str(paths[i]), options.short_side, options.quality) for i in groups[number]] for number in missing]
    for number, members in zip(missing, _prepared(tasks, jobs), strict=True):

        def write(part: Path, group: np.ndarray = groups[number], members: Iterator = members) -> None:
            with tarfile.open(part, 'w', format=tarfile.GNU_FORMAT) as tar:
                for index, member in zip(group, members, strict=True):
                    progress.add(member)
                    if isinstance(member, _Member):
                        info = tarfile.TarInfo(names[index] + member.suffix)
                        info.size = len(member.data)
                        tar.addfile(info, io.BytesIO(member.data))
                        continue
                    met[str(paths[index])] = member
                    unreadable.add(UnreadableImage(str(paths[index]), member))
                    _check_share(met, len(paths), options.max_share, out)

        write_atomically(out / shards[number], write)
    if missing or not (out / INDEX).is_file():
        report('writing the index')
        write_index(out, shards, asdict(options))
    report(progress.summary(out, len(shards), len(met), options))


def member_stems(paths: list[Path]) -> list[str]:
    """Names of files in a shard, without suffix, different for each.

    webdataset takes what follows the first dot for the suffix, and files alike before it for one sample: dots become
    ``_``, and what is then alike gets a number.
    """
    taken: set[str] = set()
    stems = []
    for path in paths:
        stem = first = (path.parent / path.stem.replace('.', '_')).as_posix()
        count = 1
        while stem in taken:
            count += 1
            stem = f'{first}-{count}'
        taken.add(stem)
        stems.append(stem)
    return stems


def prepare_image(path: str, short_side: int, quality: int) -> _Member | str:
    """What of an image goes into a shard, or why it cannot be read.

    A smaller image is kept byte for byte, its EXIF orientation included; a larger one is turned by that, and shrunk.
    """
    try:
        data = read_bytes(path)
        size, reduction = stored_size(data), 1
        if is_jpeg(data) and size is not None and short_side:
            reduction = max(r for r in REDUCTIONS if r == 1 or min(size) >= r * short_side)
        img = decode(path, data, reduction=reduction)  # of those that are kept too: it finds the broken ones
        height, width = img.shape[:2]
        if not short_side or (reduction == 1 and min(height, width) <= short_side):
            return _Member(data, Path(path).suffix.lower(), False)
        scale = short_side / min(height, width)
        target = (max(short_side, round(width * scale)), max(short_side, round(height * scale)))
        img = cv2.resize(img, target, interpolation=cv2.INTER_AREA)
        encoded = cv2.imencode('.jpg', img, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return _Member(encoded.tobytes(), '.jpg', True)
    except UnreadableImage as error:
        return error.reason
    except DataError as error:
        return str(error)
    except cv2.error as error:
        return f'cannot be shrunk ({error})'


def _begin(out: Path, paths: list[Path], images: Path, options: ShardOptions) -> None:
    """Note what the shards are made of, or compare it.

    Raises:
        UserError: The folder holds something else.
    """
    listed = '\0'.join(path.relative_to(images).as_posix() for path in paths)
    plan = {
        **asdict(options),
        'images': len(paths),
        'names': hashlib.sha256(listed.encode('utf-8', 'surrogateescape')).hexdigest(),
    }
    del plan['max_share']
    if (out / _PLAN).is_file():
        before = json.loads((out / _PLAN).read_text())
        differ = [name for name in plan if before.get(name) != plan[name]]
        if differ:
            name = differ[0]
            raise UserError(
                f'{out} holds shards that were begun with {name}={before.get(name)}, and now it is {plan[name]}: use '
                'the same options and images, or name another folder'
            )
    elif out.is_dir() and any(out.iterdir()):
        raise UserError(f'{out} is not empty: name a new folder')
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / _PLAN, plan)


def _prepared(tasks: list[list[tuple]], jobs: int) -> Iterator[Iterator[_Member | str]]:
    """For each shard its images, prepared by processes which are one shard ahead."""
    if jobs <= 1:
        for group in tasks:
            yield (prepare_image(*task) for task in group)
        return
    with ProcessPoolExecutor(jobs, initializer=cv2.setNumThreads, initargs=(0,)) as pool:

        def submit(group: list[tuple]) -> list[Future]:
            return [pool.submit(_prepare_some, group[i : i + _CHUNK]) for i in range(0, len(group), _CHUNK)]

        ahead = [submit(group) for group in tasks[:1]]
        try:
            for number in range(len(tasks)):
                ahead += [submit(group) for group in tasks[number + 1 : number + 2]]
                yield (member for future in ahead.pop(0) for member in future.result())
        finally:
            pool.shutdown(cancel_futures=True)


def _prepare_some(tasks: list[tuple]) -> list[_Member | str]:
    return [prepare_image(*task) for task in tasks]


def _check_share(met: dict[str, str], total: int, max_share: float, out: Path) -> None:
    if len(met) > max(max_share * total, float(max_share > 0)):
        last, reason = list(met.items())[-1]
        raise UserError(
            f'{len(met)} of {total} images are unreadable, more than --max-share {max_share}; the last is {last}: '
            f'{reason} (all: {out / _UNREADABLE}): mend the data, or raise --max-share'
        )


class _Progress:
    """Lines about images done, and about all of them."""

    def __init__(self, to_do: int, total: int, report: Callable[[str], Any]) -> None:
        self.to_do, self.total, self.report = to_do, total, report
        self.done = self.shrunk = self.kept = 0
        self.start = self.last = time.monotonic()
        if to_do < total:
            report(f'{total - to_do} images are in shards already, {to_do} are left')

    def add(self, member: _Member | str) -> None:
        self.done += 1
        if isinstance(member, _Member):
            self.shrunk += member.is_shrunk
            self.kept += not member.is_shrunk
        now = time.monotonic()
        if now - self.last >= _SECONDS:
            speed = self.done / (now - self.start)
            minutes = (self.to_do - self.done) / speed / 60
            self.report(f'{self.done} of {self.to_do} images, {speed:.0f} images/s, {minutes:.0f} minutes left')
            self.last = now

    def summary(self, out: Path, shards: int, unreadable: int, options: ShardOptions) -> str:
        size = sum(path.stat().st_size for path in out.glob('shard-*.tar'))
        text = f'{out}: {self.total - unreadable} images in {shards} shards, {size / 1e6:.0f} MB'
        if options.short_side and self.done:
            text += f'; {self.shrunk} shrunk to a short side of {options.short_side} px'
            text += f', {self.kept} kept as they are, since none is enlarged' if self.kept else ''
        if unreadable:
            text += f'; {unreadable} unreadable are left out: see {out / _UNREADABLE}'
        return text


def default_jobs() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
