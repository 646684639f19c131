"""The table of teachers: in the terminal, as JSON and as CSV."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from mmimg2vec.errors import UserError
from mmimg2vec.teacher_selection.measures import MEASURES


@dataclass
class Row:
    """A teacher and what was measured of it; what could not be measured is None.

    Attributes:
        teacher: Its name.
        parameters: Their number.
        gmac: 10^9 multiply-adds for an image.
        rows: Of its token grid.
        columns: Of its token grid.
        width: Of a token.
        diversity: Token diversity, mean over the images.
        diversity_low: Lower end of the 95 % confidence interval of that mean.
        diversity_high: Upper end.
        effective_rank: Mean over the images; at most the number of tokens, or the width.
        images_per_second: Of the network alone, images in memory.
        memory_mib: Peak MiB: of the device's memory, or on the CPU what the process grew by.
        images: That were measured.
        zero_tokens: Share of tokens that are zero throughout, and so count as unlike all others.
        stages: Name of each stage of a convolutional network -> mean diversity of its map.
        measures: Key of :data:`~mmimg2vec.teacher_selection.measures.MEASURES` -> value, on a sample of the images.
        undefined: The same key -> why the measure has no value, in one line.
        trained: Whether its weights are not random.
        spec: What was worked out of it, in a sentence.
        error: Why nothing was measured, in one line.
    """

    teacher: str
    parameters: int | None = None
    gmac: float | None = None
    rows: int | None = None
    columns: int | None = None
    width: int | None = None
    diversity: float | None = None
    diversity_low: float | None = None
    diversity_high: float | None = None
    effective_rank: float | None = None
    images_per_second: float | None = None
    memory_mib: float | None = None
    images: int = 0
    zero_tokens: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    measures: dict[str, float] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    trained: bool = True
    spec: str = ''
    error: str = ''


# Measures that have a column of their own in a row.
_COLUMNS = ('diversity', 'effective_rank')
_HEAD = (
    'teacher',
    'M parameters',
    'GMAC',
    'tokens',
    'width',
    'diversity',
    '95 % interval',
    'effective rank',
    'images/s',
    'MiB',
    'images',
)


def ranked(rows: Sequence[Row]) -> list[Row]:
    """Highest diversity first; teachers without one last."""
    return sorted(rows, key=lambda row: -math.inf if row.diversity is None else row.diversity)[::-1]


def format_table(rows: Sequence[Row]) -> str:
    """A Markdown table of those that were measured, aligned for the terminal; '' where none was.

    Not by rich: its Markdown has no alignment of columns, and is cut to the width of the terminal.
    """
    return _aligned([_HEAD, *(_cells(row) for row in ranked(rows) if row.diversity is not None)])


def format_measures(rows: Sequence[Row]) -> str:
    """A Markdown table of the measures, candidates and controls; '' where none was measured."""
    keys = [key for key in MEASURES if key not in _COLUMNS and any(key in row.measures for row in rows)]
    heads = ('teacher', 'weights', 'token diversity', *(MEASURES[key].title for key in keys))
    lines = [
        (
            row.teacher,
            'trained' if row.trained else 'random',
            _number(row.diversity, '.3f'),
            *(_number(row.measures.get(key), '.3f') for key in keys),
        )
        for row in ranked(rows)
        if row.diversity is not None
    ]
    return _aligned([heads, *lines]) if keys else ''


def _aligned(lines: Sequence[tuple[str, ...]]) -> str:
    if len(lines) == 1:
        return ''
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [
        '| ' + ' | '.join(_align(c, w, i) for i, (c, w) in enumerate(zip(line, widths, strict=True))) + ' |'
        for line in lines
    ]
    rule = '|' + '|'.join('-' * (w + 1) + (':' if i else '-') for i, w in enumerate(widths)) + '|'
    return '\n'.join([text[0], rule, *text[1:]])


def write_json(rows: Sequence[Row], settings: dict[str, Any], path: Path) -> None:
    """Write settings and rows, ranked."""
    content = {'settings': settings, 'teachers': [_as_json(row) for row in ranked(rows)]}
    path.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write the rows, ranked, without their stages; a column for each measure."""
    nested = ('stages', 'measures', 'undefined')
    measured = [key for key in MEASURES if key not in _COLUMNS]
    names = [*(f.name for f in fields(Row) if f.name not in nested), *measured]
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, names, extrasaction='ignore')
        writer.writeheader()
        writer.writerows({**row.measures, **_as_json(row)} for row in ranked(rows))


def make_folder(path: Path) -> None:
    """Make the folder of the results.

    Raises:
        UserError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'the folder {path} cannot be made ({error}): name another for --out') from error


def _as_json(row: Row) -> dict[str, Any]:
    """As a dict; a number that is none (the interval of a single image) becomes None, which JSON knows."""
    values = asdict(row)
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def _cells(row: Row) -> tuple[str, ...]:
    low, high = _number(row.diversity_low, '.4f'), _number(row.diversity_high, '.4f')
    return (
        row.teacher,
        _number(row.parameters, '.2f', 1e6),
        _number(row.gmac, '.3g'),
        f'{row.rows} x {row.columns}',
        str(row.width),
        _number(row.diversity, '.4f'),
        '-' if low == '-' else f'{low} to {high}',
        _number(row.effective_rank, '.1f'),
        _number(row.images_per_second, '.4g'),
        _number(row.memory_mib, '.0f'),
        str(row.images),
    )


def _number(value: float | None, spec: str, unit: float = 1.0) -> str:
    return '-' if value is None or not math.isfinite(value) else f'{value / unit:{spec}}'


def _align(text: str, width: int, column: int) -> str:
    return text.rjust(width) if column else text.ljust(width)
