"""Many teachers on a folder of images: a table, figures and pictures."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from mmimg2vec.datasets.image_files import find_images
from mmimg2vec.errors import UserError
from mmimg2vec.teacher_selection.figures import draw_image, draw_ranking, draw_stages
from mmimg2vec.teacher_selection.images import load_image, read_batches, subsample
from mmimg2vec.teacher_selection.measurement import Settings, measure
from mmimg2vec.teacher_selection.table import Row, make_folder, write_csv, write_json
from mmimg2vec.teacher_selection.teachers import find_teacher, is_config, split_name


def compare(
    teachers: Sequence[str],
    sources: Sequence[str | Path],
    out: str | Path,
    settings: Settings | None = None,
    max_images: int | None = None,
    pictures: int = 4,
    point: tuple[float, float] = (0.5, 0.5),
    labels: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> tuple[list[Row], dict[str, str]]:
    """Measure teachers on images and write ``teachers.json``, ``teachers.csv``, figures and pictures.

    The images are read anew for each teacher: the memory that is needed does not grow with their number. A teacher that
    cannot be measured gets a line that says why, and the others go on.

    Args:
        teachers: As :func:`~mmimg2vec.teacher_selection.teachers.find_teacher` takes them, or ``NAME=`` and that:
            what the teacher is called in the table.
        sources: Image files and folders.
        out: Folder of the results.
        settings: How they are measured.
        max_images: At most so many, evenly spread over all; None takes all.
        pictures: Number of images that pictures are drawn of.
        point: Height and width (0 to 1) of the place whose token the others are compared with in pictures.
        labels: Whether the folder of an image is its class: the teachers' own kNN accuracy is then measured too.
        report: Called with a line on each teacher, and on each mistake.

    Returns:
        A row for each teacher, in the order given; and unreadable image -> reason.

    Raises:
        UserError: There are no images, or none can be read; a teacher is named twice; the folder cannot be made.
    """
    settings, out = settings or Settings(), Path(out)
    if not settings.own_grid and settings.img_size < settings.patch_size:
        raise UserError(
            f'images of {settings.img_size} pixels hold no patch of {settings.patch_size}: raise --img-size'
        )
    named = [split_name(text) for text in teachers]
    names = [name for name, _ in named]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(f'the teacher {min(twice)} is named twice')
    paths = subsample(list(find_images(sources, out, report)), max_images)
    make_folder(out)
    skipped: dict[str, str] = {}

    def skip(path: Path, reason: str) -> None:
        if str(path) not in skipped:
            skipped[str(path)] = reason
            report(f'skipped: {path}: {reason}')

    classes: list[str] = []

    def batches() -> Iterator[Tensor]:
        readable = [path for path in paths if str(path) not in skipped]
        classes.clear()
        taken = (lambda path: classes.append(path.parent.name)) if labels else (lambda path: None)
        return read_batches(readable, settings.img_size, settings.batch_size, skip, taken)

    if next(iter(batches()), None) is None:
        raise UserError('none of the images can be read')
    rows: list[Row] = []
    shown: dict[str, tuple[Tensor, tuple[int, int]]] = {}
    for number, (name, text) in enumerate(named, start=1):
        report(f'{number}/{len(named)}: {name}')
        try:
            row, kept, grid = measure(
                name, find_teacher(text), batches, settings, pictures, not is_config(text), classes if labels else None
            )
            shown[name] = kept, grid
            if text.endswith('@random'):
                report(
                    f'{name}: random weights; their diversity does not say how good a teacher they are, only what '
                    'training adds to this architecture'
                )
            for reason in row.undefined.values():
                report(f'{name}: {reason}')
            if row.zero_tokens:
                report(
                    f'{name}: {row.zero_tokens:.1%} of its tokens are zero throughout and count as unlike all others'
                )
        except Exception as error:  # whatever a library raises, the other teachers are measured
            reason = str(error) if isinstance(error, UserError) else f'{type(error).__name__}: {error}'
            row = Row(name, error=' '.join(reason.split())[:500])
            report(f'{name}: {row.error}')
        rows.append(row)
        gc.collect()  # the network of this one, before the next is built
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    recorded = {**asdict(settings), 'images': len(paths) - len(skipped), 'skipped': skipped}
    write_json(rows, recorded, out / 'teachers.json')
    write_csv(rows, out / 'teachers.csv')
    draw_ranking(rows, out / 'ranking.png')
    draw_stages(rows, out / 'stages.png')
    if shown and pictures:
        make_folder(out / 'pictures')
        readable = [path for path in paths if str(path) not in skipped][:pictures]
        for index, path in enumerate(readable):
            image = load_image(path, settings.img_size).permute(1, 2, 0).numpy()
            of_image = {name: (kept[index], grid) for name, (kept, grid) in shown.items()}
            draw_image(image, of_image, point, out / 'pictures' / f'{index}_{path.stem}.png')
    return rows, skipped
