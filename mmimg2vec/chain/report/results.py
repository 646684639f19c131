"""The numbers of a chain: each stage beside training from scratch with the same budget."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from mmimg2vec.chain.logs import METRICS, final_metrics
from mmimg2vec.chain.plan import Chain, Stage
from mmimg2vec.chain.records import read_record

#: What tools/probe.py measures, in the order of the report.
PROBES = {
    'knn_cls': 'kNN, class token',
    'knn': 'kNN, patch mean',
    'linear_cls': 'linear, class token',
    'linear': 'linear, patch mean',
}


@dataclass(frozen=True)
class Comparison:
    """One measure of one stage, in percent, beside its baseline.

    Attributes:
        stage: Name of the stage.
        title: Its title.
        key: Key of the measure: of :data:`~mmimg2vec.chain.logs.METRICS` or :data:`PROBES`.
        value: The stage's result, or None where it is not finished.
        baseline: The result of training from scratch, or None.
    """

    stage: str
    title: str
    key: str
    value: float | None
    baseline: float | None

    @property
    def measure(self) -> str:
        """Name of the measure."""
        return PROBES.get(self.key) or METRICS[self.key][0]


def pairs(chain: Chain) -> list[tuple[Stage, Stage | None]]:
    """The stages that are no baselines, each with its baseline where it has one."""
    baselines = {name: stage for stage in chain.stages for name in stage.baseline_of}
    return [(stage, baselines.get(stage.name)) for stage in chain.stages if not stage.baseline_of]


def compare(chain: Chain) -> list[Comparison]:
    """All results of the finished stages of a chain."""
    rows = []
    for stage, baseline in pairs(chain):
        own, other = _results(chain, stage), _results(chain, baseline)
        rows += [
            Comparison(stage.name, stage.title, key, own.get(key), other.get(key))
            for key in (*PROBES, *METRICS)
            if key in own or key in other
        ]
    return rows


def _results(chain: Chain, stage: Stage | None) -> dict[str, float]:
    if stage is None or read_record(chain.folder(stage)) is None:
        return {}
    return final_metrics(chain.folder(stage))


def table(runs: list[list[Comparison]]) -> str:
    """Markdown table of one run of a chain, or of several with other seeds: mean ± standard deviation (n - 1).

    Args:
        runs: The comparisons of each run.
    """
    lines = [
        '| task | measure (%) | pre-trained | from scratch | difference |',
        '|---|---|---|---|---|',
    ]
    keys = dict.fromkeys((row.stage, row.key) for run in runs for row in run)
    for key in keys:
        rows = [row for run in runs for row in run if (row.stage, row.key) == key]
        own = [row.value for row in rows if row.value is not None]
        other = [row.baseline for row in rows if row.baseline is not None]
        both = [r.value - r.baseline for r in rows if None not in (r.value, r.baseline)]
        cells = [_cell(own), _cell(other), _cell(both, sign='+')]
        lines.append(f'| {rows[0].title} | {rows[0].measure} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def _cell(values: list[float], sign: str = '') -> str:
    if not values:
        return '-'
    text = f'{mean(values):{sign}.1f}'
    return text if len(values) == 1 else f'{text} ± {stdev(values):.1f}'


def as_json(rows: list[Comparison]) -> list[dict[str, Any]]:
    """The comparisons as plain values."""
    return [dict(vars(row), measure=row.measure) for row in rows]


def write_json(path: Path, rows: list[Comparison]) -> None:
    """Write the comparisons to a file."""
    path.write_text(json.dumps(as_json(rows), indent=1) + '\n', encoding='utf-8')
