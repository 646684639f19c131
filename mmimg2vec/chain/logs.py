"""What the files of a stage tell: how far it is, its curves, its results.

Read from what mmengine writes anyway, ``console.log`` and ``*/vis_data/scalars.json``, so that a stage needs nothing
special to be part of a chain.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

#: What is measured, by its key in mmengine's logs: what a reader sees, factor to percent.
METRICS = {
    'accuracy/top1': ('top-1 accuracy', 1.0),
    'coco/bbox_mAP': ('box AP', 100.0),
    'coco/segm_mAP': ('mask AP', 100.0),
    'mIoU': ('mIoU', 1.0),
}

_STEP = re.compile(r'(Epoch|Iter)\((train|val|test)\)\s+(\[.*\])')
_PART = re.compile(r'(?<![\w.])(eta|loss): ([\d:.a-z+-]+(?: day\w*, [\d:]+)?)')


def progress(console: Path) -> str:
    """How far a run is, from the last line of its console log that says so; empty where there is none."""
    for line in reversed(_tail(console)):
        match = _STEP.search(line)
        if match:
            found = dict(_PART.findall(line))
            place = ', '.join(part.strip(' []') for part in match[3].split(']['))
            parts = [f'{match[1].lower()} {place}']
            if match[2] != 'train':
                parts.append({'val': 'validation', 'test': 'test'}[match[2]])
            if 'loss' in found:
                parts.append(f'loss {found["loss"]}')
            if 'eta' in found:
                parts.append(f'{found["eta"]} left')
            return ', '.join(parts)
    return ''


def failure_reason(console: Path, count: int = 3) -> str:
    """Why a run failed: its one-line error where there is one, else the last lines of its log."""
    # Several processes put their rank before each line.
    lines = [re.sub(r'^\[rank\d+\]:', '', line).strip() for line in _tail(console)]
    lines = [line for line in lines if line and 'ChildFailedError' not in line]
    errors = [line for line in lines if line.startswith('mmimg2vec:') and 'note:' not in line]
    if errors:
        return errors[-1]
    named = [line for line in lines if re.match(r'[\w.]*(Error|Exception|Interrupt)\b', line)]
    return ' | '.join(named[-1:] or lines[-count:]) or 'it said nothing'


def _tail(path: Path, size: int = 65536) -> list[str]:
    """The last lines of the last attempt; each begins with its command, after ``$``."""
    try:
        with path.open('rb') as file:
            file.seek(max(0, path.stat().st_size - size))
            lines = file.read().decode(errors='replace').splitlines()
    except FileNotFoundError:
        return []
    starts = [index for index, line in enumerate(lines) if line.startswith('$ ')]
    return lines[starts[-1] + 1 :] if starts else lines


def read_scalars(folder: Path) -> list[dict[str, Any]]:
    """All logged records of a stage, those of earlier attempts included, oldest first.

    What an attempt logged beyond the point from which the next one resumed is left out.
    """
    records: list[dict[str, Any]] = []
    for file in sorted(folder.glob('*/vis_data/scalars.json')):
        attempt = []
        for line in file.read_text(encoding='utf-8').splitlines():
            try:
                attempt.append(json.loads(line))
            except ValueError:  # the last line of a run that was killed
                continue
        first = min((r['iter'] for r in attempt if 'iter' in r), default=None)
        if first is not None:
            records = [r for r in records if r.get('iter', r.get('step', 0)) < first]
        records += attempt
    return records


def _read_tests(folder: Path) -> list[dict[str, Any]]:
    """What ``tools/test.py`` measured: mmengine writes one file per test, and no scalars."""
    return [
        json.loads(file.read_text(encoding='utf-8'))
        for file in sorted(folder.glob('*/*.json'))
        if file.stem == file.parent.name
    ]


def curve(records: list[dict[str, Any]], key: str) -> tuple[list[float], list[float]]:
    """Steps and values of a logged quantity, in the order of the steps.

    Training quantities count iterations, results of validation the epochs (iterations in runs without epochs).
    """
    points = {}
    for record in records:
        if isinstance(record.get(key), int | float):
            points[record.get('step', 0)] = float(record[key])
    steps = sorted(points)
    return steps, [points[step] for step in steps]


def final_metrics(folder: Path) -> dict[str, float]:
    """The last results of a stage in percent, by key of ``METRICS`` or of ``results.json`` (tools/probe.py)."""
    records, results = [*_read_tests(folder), *read_scalars(folder)], {}
    for key, (_, factor) in METRICS.items():
        _, values = curve(records, key)
        if values:
            results[key] = factor * values[-1]
    frozen = folder / 'results.json'
    if frozen.is_file():
        results.update(json.loads(frozen.read_text(encoding='utf-8')))
    return results
