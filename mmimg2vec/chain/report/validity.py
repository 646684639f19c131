"""How far a measure of teachers can be believed: its rank correlation with what students learned, and what limits it.

The outcome of a teacher is one number, the *composite*: the mean of linear accuracy, kNN accuracy and mIoU on frozen
tokens, each standardized over the teachers of a run. Beside each correlation stand

- its interval, by a bootstrap over *lineages* (what stands before the first hyphen of a teacher's name), as stages and
  smoothings of one network are not independent;
- the *ceiling*: the square root of the outcome's reliability, above which no measure can correlate;
- the correlation among *trained* teachers alone: that a random network is a bad teacher needs no measure;
- the *regret*: what is lost by taking the teacher that the measure puts first.

A measure is validated where the correlation is 0.8 or more with a lower bound of 0.5 or more, on every data set; else
it is a *filter*, which may drop bad teachers and does not rank good ones. These rules, as the formulas and signs of the
measures, are fixed before there are results.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, pstdev

import numpy as np
from scipy.stats import spearmanr

from mmimg2vec.chain.report.correlation import STUDENT_METRICS, Outcome
from mmimg2vec.teacher_selection.measures import MEASURES

#: What a correlation, and the lower end of its interval, have to reach.
NEEDED, NEEDED_LOW = 0.8, 0.5
#: Resamplings of the lineages.
DRAWS = 2000


@dataclass(frozen=True)
class Validity:
    """A measure beside the composite, over the teachers of an experiment.

    Attributes:
        measure: Key of :data:`~mmimg2vec.teacher_selection.measures.MEASURES`.
        teachers: Their number.
        lineages: Number of their lineages.
        correlation: Spearman's, of signed measure and composite, each the mean over the runs.
        low: Lower end of its 95 % interval.
        high: Upper end.
        trained: The correlation among trained teachers alone.
        regret: Composite of the best teacher minus that of the measure's first choice.
        regret_linear: The same of linear accuracy, in points.
    """

    measure: str
    teachers: int
    lineages: int
    correlation: float
    low: float
    high: float
    trained: float
    regret: float
    regret_linear: float

    @property
    def validated(self) -> bool:
        """Whether it reaches what is needed."""
        return self.correlation >= NEEDED and self.low >= NEEDED_LOW


def lineage(teacher: str) -> str:
    """What stands before the first hyphen."""
    return teacher.partition('-')[0]


def composites(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """Run -> teacher -> composite, of the teachers whose student has all three results in that run."""
    found: dict[str, dict[str, float]] = {}
    for run in dict.fromkeys(outcome.run for outcome in outcomes):
        rows = {
            o.teacher: o.metrics
            for o in outcomes
            if o.run == run and o.measures and all(key in o.metrics for key in STUDENT_METRICS)
        }
        if len(rows) < 2:
            continue
        scores = dict.fromkeys(rows, 0.0)
        for key in STUDENT_METRICS:
            values = [row[key] for row in rows.values()]
            spread = pstdev(values) or 1.0
            for name, row in rows.items():
                scores[name] += (row[key] - mean(values)) / spread / len(STUDENT_METRICS)
        found[run] = scores
    return found


def reliability(scores: Mapping[str, Mapping[str, float]]) -> float:
    """Reliability of the mean over the runs, ICC(1, k) of a one-way analysis of variance; NaN for one run.

    Args:
        scores: Run -> teacher -> value; teachers that a run lacks are left out.
    """
    runs = list(scores.values())
    names = [name for name in runs[0] if all(name in run for run in runs)] if runs else []
    if len(runs) < 2 or len(names) < 2:
        return math.nan
    table = np.array([[run[name] for run in runs] for name in names])
    between = table.mean(axis=1).var(ddof=1) * len(runs)
    within = table.var(axis=1, ddof=1).mean()
    return max(0.0, 1 - within / between) if between > 0 else 0.0


def validities(outcomes: Sequence[Outcome]) -> list[Validity]:
    """Every measure that two teachers or more have, best first."""
    scores = composites(outcomes)
    names = list(dict.fromkeys(name for run in scores.values() for name in run))
    worth = {name: mean(run[name] for run in scores.values() if name in run) for name in names}
    linear = {name: _mean_of(outcomes, name, 'linear') for name in names}
    trained = {o.teacher for o in outcomes if o.trained}
    found = []
    for key, measure in MEASURES.items():
        known = {name: measure.sign * _mean_measure(outcomes, name, key) for name in names}
        known = {name: value for name, value in known.items() if math.isfinite(value)}
        if len(known) < 3:
            continue
        points = [(lineage(name), value, worth[name]) for name, value in known.items()]
        low, high = bootstrap(points)
        first = max(known, key=known.__getitem__)
        found.append(
            Validity(
                key,
                len(points),
                len({point[0] for point in points}),
                rank_correlation(points),
                low,
                high,
                rank_correlation([(name, known[name], worth[name]) for name in known if name in trained]),
                max(worth[name] for name in known) - worth[first],
                max(linear[name] for name in known) - linear[first],
            )
        )
    return sorted(found, key=lambda validity: -validity.correlation if validity.correlation > -2 else math.inf)


def rank_correlation(points: Sequence[tuple[str, float, float]]) -> float:
    """Spearman's correlation of ``(name, x, y)``; NaN where there are fewer than three, or one does not vary."""
    columns = [[point[k] for point in points] for k in (1, 2)]
    if len(points) < 3 or any(len(set(column)) == 1 for column in columns):
        return math.nan
    return float(spearmanr(*columns).statistic)


def bootstrap(points: Sequence[tuple[str, float, float]], draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the rank correlation, lineages being drawn with replacement; NaN for fewer than three.

    Args:
        points: ``(lineage, x, y)``.
        draws: Their number.
        seed: Of them.
    """
    families: dict[str, list[tuple[str, float, float]]] = {}
    for point in points:
        families.setdefault(point[0], []).append(point)
    if len(families) < 3:
        return math.nan, math.nan
    rng, groups = np.random.default_rng(seed), list(families.values())
    found = []
    for _ in range(draws):
        drawn = [point for index in rng.integers(len(groups), size=len(groups)) for point in groups[index]]
        value = rank_correlation(drawn)
        if math.isfinite(value):
            found.append(value)
    low, high = np.percentile(found, [2.5, 97.5]) if found else (math.nan, math.nan)
    return float(low), float(high)


def validity_table(outcomes: Sequence[Outcome]) -> str:
    """Markdown: every measure with its interval, ceiling and regret, and what may be concluded."""
    scores, rows = composites(outcomes), validities(outcomes)
    if not rows:
        return 'Fewer than three teachers have all results: no measure can be judged.'
    ceiling = math.sqrt(reliability(scores)) if len(scores) > 1 else math.nan
    controls = ['ceiling', 'trained alone', 'regret', 'regret, linear']
    heads = ['measure', 'teachers', 'lineages', 'correlation', '95 % interval', *controls]
    lines = [f'| {" | ".join(heads)} |', '|---' + '|---:' * (len(heads) - 1) + '|']
    for row in rows:
        cells = [MEASURES[row.measure].title, str(row.teachers), str(row.lineages), _signed(row.correlation)]
        cells += [f'{_signed(row.low)} to {_signed(row.high)}', _plain(ceiling), _signed(row.trained)]
        cells += [_plain(row.regret), _plain(row.regret_linear, 1)]
        lines.append(f'| {" | ".join(cells)} |')
    good = [MEASURES[row.measure].title for row in rows if row.validated]
    verdict = (
        f'Validated on these data: {", ".join(good)}.'
        if good
        else f'No measure reaches {NEEDED} with a lower bound of {NEEDED_LOW}: use them as filters.'
    )
    return '\n'.join([*lines, '', f'{verdict} Runs: {len(scores)}.'])


def _mean_of(outcomes: Sequence[Outcome], teacher: str, key: str) -> float:
    values = [o.metrics[key] for o in outcomes if o.teacher == teacher and key in o.metrics]
    return mean(values) if values else math.nan


def _mean_measure(outcomes: Sequence[Outcome], teacher: str, key: str) -> float:
    values = [o.measures[key] for o in outcomes if o.teacher == teacher and o.measures.get(key) is not None]
    return mean(values) if values else math.nan


def _signed(value: float) -> str:
    return f'{value:+.2f}' if math.isfinite(value) else '-'


def _plain(value: float, digits: int = 2) -> str:
    return f'{value:.{digits}f}' if math.isfinite(value) else '-'
