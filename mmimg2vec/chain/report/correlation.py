"""Measures of teachers against the results of their students: ranks, a table and a plot over teachers and seeds.

Does token diversity predict what a student learns? Read from the folders of a chain of the kind of
``configs/chains/teachers_shapes.py``: ``SEED/diversity/teachers.json`` names the teachers and their diversity;
``SEED/probe-TEACHER`` and ``SEED/segment-TEACHER`` hold the results of their students.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

from matplotlib.figure import Figure
from scipy.stats import spearmanr

from mmimg2vec.chain.report.results import FROZEN_METRICS, finished_metrics, format_mean
from mmimg2vec.errors import UserError
from mmimg2vec.visualization.figures import save_figure, style_axes

#: What is known of a teacher without training a student.
TEACHER_MEASURES = {'diversity': 'token diversity', 'effective_rank': 'effective rank'}
#: Results of its student, in percent.
STUDENT_METRICS = {
    'knn': FROZEN_METRICS['knn'],
    'linear': FROZEN_METRICS['linear'],
    'mIoU': 'mIoU, frozen tokens',
}
#: The student that nobody taught.
UNTRAINED = 'untrained'


@dataclass(frozen=True)
class Outcome:
    """One teacher in one run.

    Attributes:
        teacher: Its name; :data:`UNTRAINED` for a student with random weights.
        run: Name of the run's folder, such as ``seed0``.
        measures: Key of :data:`~mmimg2vec.teacher_selection.measures.MEASURES` -> value.
        metrics: Key of :data:`STUDENT_METRICS` -> percent; what is not finished is left out.
        trained: Whether the teacher's weights are not random.
    """

    teacher: str
    run: str
    measures: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    trained: bool = True


def read_outcomes(folder: Path) -> list[Outcome]:
    """All that is finished below the folder of an experiment, run by run.

    Raises:
        UserError: No run has measured its teachers yet.
    """
    outcomes = []
    for file in sorted(folder.glob('*/diversity/teachers.json')):
        run = file.parents[1]
        for row in json.loads(file.read_text(encoding='utf-8'))['teachers']:
            if row['diversity'] is not None:
                own = {key: row[key] for key in TEACHER_MEASURES}
                measures = {**row.get('measures', {}), **own}
                metrics = _metrics(run, row['teacher'])
                outcomes.append(Outcome(row['teacher'], run.name, measures, metrics, row.get('trained', True)))
        outcomes.append(Outcome(UNTRAINED, run.name, {}, _metrics(run, UNTRAINED)))
    if not outcomes:
        raise UserError(
            f'{folder} has no RUN/diversity/teachers.json: run tools/experiment.py configs/chains/teachers_shapes.py'
        )
    return outcomes


def _metrics(run: Path, teacher: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for stage in (run / f'probe-{teacher}', run / f'segment-{teacher}'):
        found.update(finished_metrics(stage))
    return {key: found[key] for key in STUDENT_METRICS if key in found}


def rank_correlations(outcomes: Sequence[Outcome], measure: str, metric: str) -> dict[str, float]:
    """Spearman's rank correlation over the teachers, in each run that has at least three of them.

    Args:
        outcomes: Of one or more runs.
        measure: Key of :data:`TEACHER_MEASURES`.
        metric: Key of :data:`STUDENT_METRICS`.

    Returns:
        Name of the run -> correlation, from -1 to 1. Runs in which either does not vary are left out.
    """
    found = {}
    for run in dict.fromkeys(outcome.run for outcome in outcomes):
        points = [
            (outcome.measures[measure], outcome.metrics[metric])
            for outcome in outcomes
            if outcome.run == run and measure in outcome.measures and metric in outcome.metrics
        ]
        columns = list(zip(*points, strict=True))
        if len(points) >= 3 and all(len(set(column)) > 1 for column in columns):
            found[run] = float(spearmanr(*columns).statistic)
    return found


def correlation_table(outcomes: Sequence[Outcome]) -> str:
    """Markdown: teachers, most diverse first, with mean ± standard deviation over the runs; then rank correlations."""
    names = [outcome.teacher for outcome in outcomes if outcome.measures]
    teachers = sorted(dict.fromkeys(names), key=lambda name: -mean(_values(outcomes, name, 'diversity')))
    heads = ['teacher', *TEACHER_MEASURES.values(), *STUDENT_METRICS.values()]
    lines = [f'| {" | ".join(heads)} |', '|---' + '|---:' * (len(heads) - 1) + '|']
    for name in (*teachers, UNTRAINED):
        cells = [format_mean(_values(outcomes, name, key), digits=3) for key in TEACHER_MEASURES]
        cells += [format_mean(_values(outcomes, name, key)) for key in STUDENT_METRICS]
        lines.append(f'| {name} | {" | ".join(cells)} |')
    lines += ['', 'Rank correlation (Spearman) over the teachers, of each run:', '']
    heads = ['', *STUDENT_METRICS.values()]
    lines += [f'| {" | ".join(heads)} |', '|---' + '|---:' * len(STUDENT_METRICS) + '|']
    for measure, title in TEACHER_MEASURES.items():
        cells = [
            ', '.join(f'{rho:+.2f}' for rho in rank_correlations(outcomes, measure, key).values())
            for key in STUDENT_METRICS
        ]
        lines.append(f'| {title} | {" | ".join(cell or "-" for cell in cells)} |')
    return '\n'.join(lines)


def draw_correlation(outcomes: Sequence[Outcome], path: Path) -> None:
    """Plot each metric against token diversity: a point per teacher and run, and their means with names."""
    names = dict.fromkeys(outcome.teacher for outcome in outcomes if outcome.measures)
    figure = Figure(figsize=(4.4 * len(STUDENT_METRICS), 3.8), dpi=110, layout='constrained')
    for axes, (key, title) in zip(figure.subplots(1, len(STUDENT_METRICS)), STUDENT_METRICS.items(), strict=True):
        for number, name in enumerate(names):
            points = [
                (outcome.measures['diversity'], outcome.metrics[key])
                for outcome in outcomes
                if outcome.teacher == name and key in outcome.metrics
            ]
            if not points:
                continue
            xs, ys = zip(*points, strict=True)
            axes.plot(xs, ys, '.', color=f'C{number}', alpha=0.45)
            axes.plot(mean(xs), mean(ys), 'o', color=f'C{number}')
            axes.annotate(name, (mean(xs), mean(ys)), (5, 4), textcoords='offset points', fontsize=8)
        untrained = _values(outcomes, UNTRAINED, key)
        if untrained:
            axes.axhline(mean(untrained), color='#7f8c8d', linestyle='--', linewidth=1)
            axes.annotate(
                'no pre-training',
                (0.99, mean(untrained)),
                (0, 3),
                xycoords=('axes fraction', 'data'),
                textcoords='offset points',
                fontsize=7,
                color='#7f8c8d',
                ha='right',
            )
        axes.set_title(f'{title} (%)', fontsize=9)
        axes.set_xlabel('token diversity of the teacher', fontsize=8)
        axes.margins(x=0.16)
        style_axes(axes, grid=True)
    save_figure(figure, path)


def _values(outcomes: Sequence[Outcome], teacher: str, key: str) -> list[float]:
    own = [{**o.measures, **o.metrics} for o in outcomes if o.teacher == teacher]
    return [values[key] for values in own if key in values]
