"""Charts of a chain: its results beside training from scratch, and the curves of its stages."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmimg2vec.chain.logs import METRICS, curve, read_scalars
from mmimg2vec.chain.plan import Chain, Stage
from mmimg2vec.chain.report.results import Comparison, metric_name, results_of, shared_metrics
from mmimg2vec.visualization.figures import save_figure, style_axes

PRETRAINED, SCRATCH = '#c0392b', '#7f8c8d'
LABELS = {PRETRAINED: 'pre-trained', SCRATCH: 'from scratch'}


def draw_results(runs: list[list[Comparison]], path: Path) -> Path | None:
    """Bars of every metric: mean over the runs, each run a dot.

    Of stages with baselines those metrics that have one; without any baseline, the stages beside one another. None
    where there is nothing to compare.
    """
    if all(row.baseline is None for run in runs for row in run):
        return _draw_stages(runs, path)
    keys = list(dict.fromkeys((row.stage, row.key) for run in runs for row in run if row.baseline is not None))
    figure = Figure(figsize=(1.9 * len(keys) + 0.8, 3.2), dpi=100, layout='constrained')
    axes = figure.subplots(1, len(keys), squeeze=False)[0]
    for ax, key in zip(axes, keys, strict=True):
        rows = [row for run in runs for row in run if (row.stage, row.key) == key]
        sides = {
            PRETRAINED: [row.value for row in rows if row.value is not None],
            SCRATCH: [row.baseline for row in rows if row.baseline is not None],
        }
        for place, (color, values) in enumerate(sides.items()):
            if not values:
                continue
            average = sum(values) / len(values)
            ax.bar(place, average, color=color, width=0.7)
            if len(values) > 1:
                ax.plot([place] * len(values), values, 'k.', markersize=5)
            ax.annotate(
                f'{average:.1f}',
                (place, max(values)),
                (0, 4),
                textcoords='offset points',
                ha='center',
            )
        ax.set_title(f'{rows[0].title}\n{rows[0].metric} (%)', fontsize=9)
        ax.set_xticks([0, 1], list(LABELS.values()), fontsize=8)
        ax.set_ylim(0, 1.2 * max(1e-9, *sides[PRETRAINED], *sides[SCRATCH]))
        style_axes(ax)
    return save_figure(figure, path)


def _draw_stages(runs: list[list[Comparison]], path: Path) -> Path | None:
    """One panel per metric, one bar per stage."""
    keys, titles, _ = shared_metrics(runs)
    if not keys:
        return None
    size = (2.2 * len(keys) + 3.2, 0.32 * len(titles) + 0.9)
    figure = Figure(figsize=size, dpi=100, layout='constrained')
    panels = figure.subplots(1, len(keys), squeeze=False, sharey=True)[0]
    for ax, key in zip(panels, keys, strict=True):
        highest = 1e-9
        for place, stage in enumerate(titles):
            found = list(results_of(runs, stage, key).values())
            if not found:
                continue
            average = sum(found) / len(found)
            ax.barh(place, average, color=PRETRAINED, height=0.7)
            if len(found) > 1:
                ax.plot(found, [place] * len(found), 'k.', markersize=4)
            ax.annotate(
                f'{average:.1f}',
                (max(found), place),
                (4, 0),
                textcoords='offset points',
                va='center',
                fontsize=8,
            )
            highest = max(highest, *found)
        ax.set_title(f'{metric_name(key)} (%)', fontsize=9)
        ax.set_xlim(0, 1.2 * highest)
        style_axes(ax)
    panels[0].set_yticks(range(len(titles)), list(titles.values()))
    panels[0].invert_yaxis()
    return save_figure(figure, path)


def draw_curves(chain: Chain, stage: Stage, baseline: Stage | None, path: Path) -> Path | None:
    """Training loss, and what validation (or the kNN hook, or the diversities) measured, over time.

    None where nothing is logged yet.
    """
    runs = {PRETRAINED: read_scalars(chain.folder(stage))}
    if baseline is not None:
        runs[SCRATCH] = read_scalars(chain.folder(baseline))
    wanted = {'loss': 'training loss', **{k: f'{v[0]} (%)' for k, v in METRICS.items()}}
    wanted |= {
        'knn/accuracy_cls_token': 'kNN accuracy, class token (%)',
        'prediction_cosine': 'cosine of prediction and target',
    }
    keys = [key for key in wanted if any(curve(records, key)[0] for records in runs.values())]
    if any(curve(records, 'target_diversity')[0] for records in runs.values()):
        keys.append('diversity')
    if not keys:
        return None
    figure = Figure(figsize=(3.6 * len(keys), 2.8), dpi=100, layout='constrained')
    for ax, key in zip(figure.subplots(1, len(keys), squeeze=False)[0], keys, strict=True):
        if key == 'diversity':
            _draw_diversity(ax, runs[PRETRAINED])
            continue
        factor = METRICS[key][1] if key in METRICS else 1.0
        for color, records in runs.items():
            steps, values = curve(records, key)
            mark = '.-' if len(steps) < 30 else '-'
            label = LABELS[color] if baseline is not None else None
            ax.plot(steps, [factor * v for v in values], mark, color=color, label=label)
        _finish(ax, wanted[key], 'iteration' if key not in METRICS else 'epoch or iteration')
        if baseline is not None:
            ax.legend(fontsize=8, frameon=False)
    return save_figure(figure, path)


def _draw_diversity(ax: Axes, records: list[dict]) -> None:
    for key, color in (('target_diversity', 'black'), ('prediction_diversity', PRETRAINED)):
        ax.plot(*curve(records, key), '.-', color=color, label=key.split('_')[0])
    _finish(ax, 'token diversity', 'iteration')
    ax.legend(fontsize=8, frameon=False)


def _finish(ax: Axes, title: str, steps: str) -> None:
    ax.set_title(title, fontsize=9)
    ax.set_xlabel(steps, fontsize=8)
    style_axes(ax, grid=True)
