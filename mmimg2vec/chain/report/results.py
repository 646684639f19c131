"""The numbers of a chain: each stage beside training from scratch with the same budget, or all beside each other."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from mmimg2vec.chain.logs import METRICS, final_metrics
from mmimg2vec.chain.plan import Chain, Stage
from mmimg2vec.chain.records import read_record, read_seconds

#: What tools/probe.py measures on frozen features, in percent and in the order of the report.
FROZEN_METRICS = {
    'knn_cls': 'kNN, class token',
    'knn': 'kNN, patch mean',
    'linear_cls': 'linear, class token',
    'linear': 'linear, patch mean',
}


@dataclass(frozen=True)
class Comparison:
    """One metric of one stage, in percent, beside its baseline.

    Attributes:
        stage: Name of the stage.
        title: Its title.
        key: Key of the metric: of :data:`~mmimg2vec.chain.logs.METRICS` or :data:`FROZEN_METRICS`.
        value: The stage's result, or None where it is not finished.
        baseline: The result of training from scratch, or None.
        minutes: Of the trainings behind the result, teachers included, as far as the stage needs them.
    """

    stage: str
    title: str
    key: str
    value: float | None
    baseline: float | None
    minutes: float = 0.0

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return metric_name(self.key)


def metric_name(key: str) -> str:
    """What a reader sees of a metric."""
    return FROZEN_METRICS.get(key) or METRICS[key][0]


def pairs(chain: Chain) -> list[tuple[Stage, Stage | None]]:
    """The stages that are no baselines, each with its baseline where it has one."""
    baselines = {name: stage for stage in chain.stages for name in stage.baseline_of}
    return [(stage, baselines.get(stage.name)) for stage in chain.stages if not stage.baseline_of]


def compare(chain: Chain) -> list[Comparison]:
    """All results of the finished stages of a chain."""
    rows = []
    for stage, baseline in pairs(chain):
        own, other = _results(chain, stage), _results(chain, baseline)
        minutes = _minutes(chain, stage)
        rows += [
            Comparison(stage.name, stage.title, key, own.get(key), other.get(key), minutes)
            for key in (*FROZEN_METRICS, *METRICS)
            if key in own or key in other
        ]
    return rows


def _results(chain: Chain, stage: Stage | None) -> dict[str, float]:
    return {} if stage is None else finished_metrics(chain.folder(stage))


def finished_metrics(folder: Path) -> dict[str, float]:
    """Results in the folder of a stage; none where it is not finished."""
    return {} if read_record(folder) is None else final_metrics(folder)


def _minutes(chain: Chain, stage: Stage) -> float:
    behind = {stage.name}
    for earlier in reversed(chain.stages):
        if earlier.name in behind:
            behind.update(earlier.needs)
    trainings = [s for s in chain.stages if s.name in behind and s.config]
    return sum(read_seconds(chain.folder(training)) for training in trainings) / 60


def table(runs: list[list[Comparison]], differences: Sequence[tuple[str, str]] = ()) -> str:
    """Markdown table of one run of a chain, or of several with other seeds: mean ± standard deviation (n - 1).

    Args:
        runs: The comparisons of each run.
        differences: Of ``Chain.differences``. Where there are any, the table has one line per stage and one column per
            metric, and a second one has the differences.
    """
    if differences:
        return _grid(runs, differences)
    lines = [
        '| task | measure (%) | pre-trained | from scratch | difference |',
        '|---|---|---|---|---|',
    ]
    keys = dict.fromkeys((row.stage, row.key) for run in runs for row in run)
    for key in keys:
        rows = [row for run in runs for row in run if (row.stage, row.key) == key]
        own = [row.value for row in rows if row.value is not None]
        other = [row.baseline for row in rows if row.baseline is not None]
        both = [r.value - r.baseline for r in rows if r.value is not None and r.baseline is not None]
        cells = [format_mean(own), format_mean(other), format_mean(both, sign='+')]
        lines.append(f'| {rows[0].title} | {rows[0].metric} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def _grid(runs: list[list[Comparison]], differences: Sequence[tuple[str, str]]) -> str:
    keys, titles, lone = shared_metrics(runs)
    measures = ' | '.join(map(metric_name, keys))
    lines = [f'| | {measures} | minutes of training |', '|---|' + '---|' * (len(keys) + 1)]
    for stage, title in titles.items():
        cells = [format_mean(list(results_of(runs, stage, key).values())) for key in keys]
        minutes = [{row.minutes for row in run if row.stage == stage} for run in runs]
        lines.append(f'| {title} | {" | ".join(cells)} | {format_mean([n for found in minutes for n in found])} |')
    lines += ['', f'| difference | {measures} |', '|---|' + '---|' * len(keys)]
    for first, second in differences:
        if first in titles and second in titles:
            cells = []
            for key in keys:
                own, other = results_of(runs, first, key), results_of(runs, second, key)
                cells.append(format_mean([own[n] - other[n] for n in own if n in other], sign='+'))
            lines.append(f'| {titles[first]} *minus* {titles[second]} | {" | ".join(cells)} |')
    for row in lone:
        figures = format_mean(list(results_of(runs, row.stage, row.key).values()))
        lines += ['', f'{row.title}: {row.metric} {figures} %.']
    return '\n'.join(lines)


def shared_metrics(
    runs: list[list[Comparison]],
) -> tuple[list[str], dict[str, str], list[Comparison]]:
    """Which stages can stand beside one another.

    Returns:
        The metrics that more than one stage has; name -> title of those stages; and of each other result of a stage
        one row, of any run.
    """
    rows = {(row.stage, row.key): row for run in runs for row in run if row.value is not None}
    count = Counter(key for _, key in rows)
    keys = [key for key in (*FROZEN_METRICS, *METRICS) if count[key] > 1]
    titles = {stage: row.title for (stage, key), row in rows.items() if key in keys}
    return keys, titles, [row for (_, key), row in rows.items() if key not in keys]


def results_of(runs: list[list[Comparison]], stage: str, key: str) -> dict[int, float]:
    """Number of the run -> value of a metric of a stage, where there is one."""
    return {
        number: row.value
        for number, run in enumerate(runs)
        for row in run
        if (row.stage, row.key) == (stage, key) and row.value is not None
    }


def format_mean(numbers: Sequence[float], sign: str = '', digits: int = 1) -> str:
    """Mean ± standard deviation (n - 1) for a table; a single number alone, a dash for none."""
    if not numbers:
        return '-'
    text = f'{mean(numbers):{sign}.{digits}f}'
    return text if len(numbers) == 1 else f'{text} ± {stdev(numbers):.{digits}f}'


def as_json(rows: list[Comparison]) -> list[dict[str, Any]]:
    """The comparisons as plain values."""
    return [dict(vars(row), measure=row.metric) for row in rows]


def write_json(path: Path, rows: list[Comparison]) -> None:
    """Write the comparisons to a file."""
    path.write_text(json.dumps(as_json(rows), indent=1) + '\n', encoding='utf-8')
