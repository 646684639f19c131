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
    figure, axes = _panels(len(keys), 5, (2.1, 3.2))
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
        'dense/dse': 'dense quality of the student (DSE)',
        'prediction_cosine': 'cosine of prediction and target',
    }
    keys = [key for key in wanted if any(curve(records, key)[0] for records in runs.values())]
    if any(curve(records, 'target_diversity')[0] for records in runs.values()):
        keys.append('diversity')
    if not keys:
        return None
    figure, panels = _panels(len(keys), 3, (3.6, 2.8))
    for ax, key in zip(panels, keys, strict=True):
        if key == 'diversity':
            _draw_diversity(ax, runs[PRETRAINED])
            continue
        factor = METRICS[key][1] if key in METRICS else 1.0
        for color, records in runs.items():
            steps, values = curve(records, key)
            label = LABELS[color] if baseline is not None else None
            _plot(ax, steps, [factor * v for v in values], color, label)
        if key == 'loss':
            _draw_position_loss(ax, runs[PRETRAINED])
        _keep_proportion(ax, 10.0 if key in METRICS else 0.0)
        _finish(ax, wanted[key], 'iteration' if key not in METRICS else 'epoch or iteration')
        if ax.get_legend_handles_labels()[1]:
            ax.legend(fontsize=8, frameon=False)
    return save_figure(figure, path)


def _draw_position_loss(ax: Axes, records: list[dict]) -> None:
    """A line where a prediction by position alone stands: what learning nothing looks like."""
    values = curve(records, 'position_loss')[1]
    if values:
        ax.axhline(values[-1], color='black', linestyle='--', linewidth=1, label='by position alone')


def _draw_diversity(ax: Axes, records: list[dict]) -> None:
    for key, color in (('target_diversity', 'black'), ('prediction_diversity', PRETRAINED)):
        _plot(ax, *curve(records, key), color, key.split('_')[0])
    _keep_proportion(ax)
    _finish(ax, 'token diversity', 'iteration')
    ax.legend(fontsize=8, frameon=False)


def _panels(count: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """A figure of some panels in rows, which a page shows without making it smaller."""
    across = min(count, columns)
    rows = -(-count // across)
    figure = Figure(figsize=(size[0] * across, size[1] * rows), dpi=100, layout='constrained')
    grid = list(figure.subplots(rows, across, squeeze=False).flat)
    for ax in grid[count:]:
        ax.remove()
    return figure, grid[:count]


def _plot(ax: Axes, steps: list[float], values: list[float], color: str, label: str | None) -> None:
    """A curve; one or two measurements are points, between which nothing was measured."""
    mark = 'o' if len(steps) < 3 else '.-' if len(steps) < 30 else '-'
    ax.plot(steps, values, mark, color=color, label=label)


def _keep_proportion(ax: Axes, least: float = 0.0) -> None:
    """Let the vertical axis span a tenth of its values at least, so that a change of nothing looks like none.

    Args:
        ax: Changed in place.
        least: Span in the values' unit: ten points of a percentage.
    """
    low, high = ax.get_ylim()
    span = max(least, 0.1 * max(abs(low), abs(high)))
    if high - low < span:
        middle = (low + high) / 2
        low = middle - span / 2
        ax.set_ylim(max(low, 0.0) if middle >= 0 else low, max(low, 0.0) + span if middle >= 0 else low + span)


def describe_curves(chain: Chain, stage: Stage, baseline: Stage | None) -> str:
    """The curves of :func:`draw_curves` in words, for those who do not see them: first and last value of each."""
    shown = [
        ('loss', 'training loss', 1.0),
        *((key, f'{name} in %', factor) for key, (name, factor) in METRICS.items()),
    ]
    parts = []
    for name, one in (('', stage), (', from scratch', baseline)):
        records = [] if one is None else read_scalars(chain.folder(one))
        for key, title, factor in shown:
            values = curve(records, key)[1]
            if values:
                parts.append(f'{title}{name} from {factor * values[0]:.3g} to {factor * values[-1]:.3g}')
    return f'Curves of {stage.title}: {"; ".join(parts)}'


def _finish(ax: Axes, title: str, steps: str) -> None:
    ax.set_title(title, fontsize=9)
    ax.set_xlabel(steps, fontsize=8)
    style_axes(ax, grid=True)
