"""Does token diversity predict what a student learns? The table and the plot of an experiment over teachers and seeds.

Read from the folders of a chain of the kind of ``configs/chains/teachers_shapes.py``: ``SEED/diversity/teachers.json`` names
the teachers and their diversity; ``SEED/probe-TEACHER`` and ``SEED/segment-TEACHER`` hold the results of their students.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from mmimg2vec.chain.report.results import PROBES, finished_metrics, mean_and_spread
from mmimg2vec.errors import UserError

#: What is known of a teacher without training a student.
PREDICTORS = {'diversity': 'token diversity', 'effective_rank': 'effective rank'}
#: What its student is asked, in percent.
MEASURES = {
    'knn': PROBES['knn'],
    'linear': PROBES['linear'],
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
        predictors: Key of :data:`PREDICTORS` -> value.
        measures: Key of :data:`MEASURES` -> percent; what is not finished is left out.
    """

    teacher: str
    run: str
    predictors: dict[str, float] = field(default_factory=dict)
    measures: dict[str, float] = field(default_factory=dict)


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
                predictors = {key: row[key] for key in PREDICTORS}
                outcomes.append(Outcome(row['teacher'], run.name, predictors, _measures(run, row['teacher'])))
        outcomes.append(Outcome(UNTRAINED, run.name, {}, _measures(run, UNTRAINED)))
    if not outcomes:
        raise UserError(
            f'{folder} has no RUN/diversity/teachers.json: run tools/experiment.py configs/chains/teachers_shapes.py'
        )
    return outcomes


def _measures(run: Path, teacher: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for stage in (run / f'probe-{teacher}', run / f'segment-{teacher}'):
        found.update(finished_metrics(stage))
    return {key: found[key] for key in MEASURES if key in found}


def rank_correlations(outcomes: Sequence[Outcome], predictor: str, measure: str) -> dict[str, float]:
    """Spearman's rank correlation over the teachers, in each run that has at least three of them.

    Args:
        outcomes: Of one or more runs.
        predictor: Key of :data:`PREDICTORS`.
        measure: Key of :data:`MEASURES`.

    Returns:
        Name of the run -> correlation, from -1 to 1. Runs in which either does not vary are left out.
    """
    found = {}
    for run in dict.fromkeys(outcome.run for outcome in outcomes):
        points = [
            (outcome.predictors[predictor], outcome.measures[measure])
            for outcome in outcomes
            if outcome.run == run and predictor in outcome.predictors and measure in outcome.measures
        ]
        columns = list(zip(*points, strict=True))
        if len(points) >= 3 and all(len(set(column)) > 1 for column in columns):
            found[run] = float(spearmanr(*columns).statistic)
    return found


def prediction_table(outcomes: Sequence[Outcome]) -> str:
    """Markdown: teachers, most diverse first, with mean ± standard deviation over the runs; then the rank correlations."""
    names = [outcome.teacher for outcome in outcomes if outcome.predictors]
    teachers = sorted(dict.fromkeys(names), key=lambda name: -mean(_values(outcomes, name, 'diversity')))
    heads = ['teacher', *PREDICTORS.values(), *MEASURES.values()]
    lines = [f'| {" | ".join(heads)} |', '|---' + '|---:' * (len(heads) - 1) + '|']
    for name in (*teachers, UNTRAINED):
        cells = [mean_and_spread(_values(outcomes, name, key), digits=3) for key in PREDICTORS]
        cells += [mean_and_spread(_values(outcomes, name, key)) for key in MEASURES]
        lines.append(f'| {name} | {" | ".join(cells)} |')
    lines += ['', 'Rank correlation (Spearman) over the teachers, of each run:', '']
    heads = ['', *MEASURES.values()]
    lines += [f'| {" | ".join(heads)} |', '|---' + '|---:' * len(MEASURES) + '|']
    for predictor, title in PREDICTORS.items():
        cells = [
            ', '.join(f'{rho:+.2f}' for rho in rank_correlations(outcomes, predictor, key).values()) for key in MEASURES
        ]
        lines.append(f'| {title} | {" | ".join(cell or "-" for cell in cells)} |')
    return '\n'.join(lines)


def draw_prediction(outcomes: Sequence[Outcome], path: Path) -> None:
    """Plot each measure against token diversity: a point per teacher and run, and their means with names."""
    names = dict.fromkeys(outcome.teacher for outcome in outcomes if outcome.predictors)
    figure = Figure(figsize=(4.4 * len(MEASURES), 3.8), dpi=110, layout='constrained')
    for axes, (key, title) in zip(figure.subplots(1, len(MEASURES)), MEASURES.items(), strict=True):
        for number, name in enumerate(names):
            points = [
                (outcome.predictors['diversity'], outcome.measures[key])
                for outcome in outcomes
                if outcome.teacher == name and key in outcome.measures
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
        axes.spines[['top', 'right']].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
    FigureCanvasAgg(figure).print_png(str(path))


def _values(outcomes: Sequence[Outcome], teacher: str, key: str) -> list[float]:
    own = [{**o.predictors, **o.measures} for o in outcomes if o.teacher == teacher]
    return [values[key] for values in own if key in values]
