"""The figures as tables for the terminal, as a picture, and what machine they are of."""

from __future__ import annotations

import datetime
import platform
import sys
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from mmengine.device import get_device
from rich.console import Console
from rich.table import Table

from benchmarking.clock import PARTS
from mmimg2vec.visualization.figures import save_figure, style_axes


def machine() -> dict[str, Any]:
    """Device, threads, versions, date and command."""
    if get_device() == 'cuda':
        name = torch.cuda.get_device_name()
    else:
        name = f'{_processor()}, {torch.get_num_threads()} threads'
    return dict(
        device=name,
        torch=torch.__version__,
        python=platform.python_version(),
        date=datetime.date.today().isoformat(),
        command=' '.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    )


def print_tables(result: dict[str, Any]) -> None:
    """Print everything that was measured."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    setting = result['setting']
    console.print(
        f'{result["machine"]["device"]}, torch {result["machine"]["torch"]}, {setting["precision"]}, '
        f'{setting["rounds"]} rounds in turns'
    )
    for title, table in result['tables'].items():
        _print_rows(console, title.replace('_', ' '), table)
    for kind in dict.fromkeys(row['kind'] for row in result['growth']):
        _print_growth(console, kind, [row for row in result['growth'] if row['kind'] == kind])


def _print_rows(console: Console, title: str, table: dict[str, Any]) -> None:
    rates = ' to '.join(f'{rate:.0f}' for rate in table['matrix_gmac_per_s'][::2])
    shown = Table(title=f'{title} (a matrix product: {rates} GMAC/s)')
    over = [table['first'], *table['rows'][0]['ratio_over']]
    columns = ['step', 'images/s', 'views/s', *(f'per view over {name}' for name in over)]
    shown.add_column('')
    for column in [*columns, 'GMAC/view', 'of the product', 'GiB']:
        shown.add_column(column, justify='right')
    for row in table['rows']:
        ratios = [row['ratio'], *row['ratio_over'].values()]
        shown.add_row(
            row['name'],
            _time(row['step_s']),
            f'{row["images_per_s"]:.3g}',
            f'{row["views_per_s"]:.3g}',
            *(_spread(ratio) for ratio in ratios),
            _number(row['gmac_per_view'], '.2f'),
            _number(row['peak_share'], '.0%'),
            _number(row['memory_gib'], '.2f'),
        )
    console.print(shown)
    parts = Table(title=f'{title}: parts of a step')
    parts.add_column('')
    for part in PARTS:
        parts.add_column(part, justify='right')
    for row in table['rows']:
        parts.add_row(row['name'], *(_time(row['parts'][part]) for part in PARTS))
    console.print(parts)


def _print_growth(console: Console, kind: str, rows: list[dict[str, Any]]) -> None:
    shown = Table(title=f'growth with {kind}, per masked view, over the first of its kind')
    for column in ('', 'step', 'time', 'operations', 'time over operations', 'of the product'):
        shown.add_column(column, justify='right' if column else 'left')
    for row in rows:
        operations, excess = _number(row['operations'], '.2f'), _number(row['excess'], '.2f')
        shown.add_row(
            row['name'],
            _time(row['step_s']),
            _spread(row['time']),
            operations,
            excess,
            _number(row['peak_share'], '.0%'),
        )
    console.print(shown)


def draw(result: dict[str, Any], path: Path) -> Path:
    """A bar per row: the parts of its step per masked view, in units of the first row's step.

    Returns:
        The path of the picture.
    """
    table = result['tables']['step']
    rows = table['rows'][::-1]
    unit = 1 / table['rows'][0]['views_per_s']
    figure = Figure(figsize=(8, 1.2 + 0.4 * len(rows)), dpi=120, layout='constrained')
    axes = figure.subplots()
    left = [0.0] * len(rows)
    for part in PARTS:
        widths = [row['parts'][part] / row['views'] / unit for row in rows]
        axes.barh([row['name'] for row in rows], widths, left=left, label=part)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.set_xlabel(f'time per masked view, {table["first"]} = 1')
    style_axes(axes)
    figure.legend(ncols=len(PARTS), loc='outside upper center', frameon=False, fontsize=8)
    return save_figure(figure, path)


def draw_growth(result: dict[str, Any], path: Path) -> Path:
    """Time per masked view beside operations per masked view, over the smallest of each, a panel per kind of growth.

    Returns:
        The path of the picture.
    """
    kinds = list(dict.fromkeys(row['kind'] for row in result['growth']))
    figure = Figure(figsize=(4 * len(kinds), 3.6), dpi=120, layout='constrained')
    for kind, axes in zip(kinds, figure.subplots(1, len(kinds), squeeze=False)[0], strict=True):
        rows = [row for row in result['growth'] if row['kind'] == kind]
        for name in dict.fromkeys(row['entry'] for row in rows):
            own = [row for row in rows if row['entry'] == name]
            places = [row['point'] for row in own]
            low, middle, high = zip(*(row['time'] for row in own), strict=True)
            (line,) = axes.plot(places, middle, marker='o', label=f'{name}, time')
            axes.fill_between(places, low, high, alpha=0.2, color=line.get_color())
            if None not in (operations := [row['operations'] for row in own]):
                axes.plot(places, operations, linestyle='--', color=line.get_color(), label=f'{name}, operations')
        axes.set_title(kind, fontsize=10)
        axes.legend(frameon=False, fontsize=8)
        style_axes(axes, grid=True)
    return save_figure(figure, path)


def _processor() -> str:
    info = Path('/proc/cpuinfo')
    lines = info.read_text(encoding='utf-8').splitlines() if info.is_file() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.machine()


def _time(seconds: float) -> str:
    return f'{seconds * 1000:.1f} ms' if seconds < 1 else f'{seconds:.2f} s'


def _number(value: float | None, form: str) -> str:
    return '' if value is None else format(value, form)


def _spread(values: list[float]) -> str:
    low, middle, high = values
    return f'{middle:.2f} ({low:.2f} to {high:.2f})'
