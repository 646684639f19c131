"""How time grows with batch, tokens and model, beside how the operations grow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarking.entries import CONFIGS, Entry, Setting
from benchmarking.measure import measure

KINDS = ('batch', 'tokens', 'model')
_SIDES = (224, 320, 448)
_BATCHES = (1, 2, 4)


def variants(entry: Entry, kind: str, setting: Setting, sides: Sequence[int] = _SIDES) -> list[Entry]:
    """What an entry is compared with, itself among it, from the smallest on.

    Args:
        entry: The entry.
        kind: ``'batch'``: so many times the views; ``'tokens'``: larger images; ``'model'``: the configs of the same
            method for other sizes, by :data:`~benchmarking.entries.CONFIGS`.
        setting: Gives the views.
        sides: Images of ``'tokens'``, in pixels.

    Returns:
        At least two, or none where there is nothing to compare with.
    """
    if kind == 'batch':
        views = entry.views or setting.views
        return [entry.vary(f'{views * times} views', views=views * times) for times in _BATCHES]
    if kind == 'tokens':
        return [entry.vary(f'{side} px', side=side) for side in sides]
    sizes = {'small': f'{entry.config}-small', 'base': entry.config, 'large': f'{entry.config}-large'}
    found = [entry.vary(f'ViT-{size}', config=name) for size, name in sizes.items() if name in CONFIGS]
    return found if len(found) > 1 else []


def grow(entries: Sequence[Entry], kind: str, setting: Setting, rounds: int, **options: Any) -> list[dict[str, Any]]:
    """Time and operations per masked view, over those of the smallest variant of the same entry.

    The variants of an entry take turns in one process.

    Args:
        entries: What grows.
        kind: One of :data:`KINDS`.
        setting: As for :func:`~benchmarking.measure.measure`.
        rounds: Timed steps of each.
        **options: As :func:`variants`.

    Returns:
        A row per variant: ``name`` (``entry`` and ``point``), ``step_s``, ``time`` (quartiles) and ``operations`` over
        the smallest one's, and ``excess``: the median of the one over the other; above 1 time grows faster than the
        operations.
    """
    rows = []
    for entry in entries:
        points = variants(entry, kind, setting, **options)
        if not points:
            continue
        table = measure(points, setting, rounds)['step']
        first = table.rows[0]
        for row, figures in zip(table.rows, table.summary()['rows'], strict=True):
            operations = None
            if row.macs is not None and first.macs is not None:
                operations = row.macs / row.views / (first.macs / first.views)
            rows.append(
                dict(
                    name=row.name,
                    kind=kind,
                    entry=entry.name,
                    point=row.name.removeprefix(f'{entry.name}, '),
                    views=row.views,
                    step_s=figures['step_s'],
                    gmac_per_view=figures['gmac_per_view'],
                    peak_share=figures['peak_share'],
                    time=figures['ratio'],
                    operations=operations,
                    excess=None if operations is None else figures['ratio'][1] / operations,
                )
            )
    return rows
