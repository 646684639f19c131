"""The curves of several pre-training runs beside one another: loss, kNN, diversity, cosine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mmimg2vec.chain.logs import curve, read_scalars
from mmimg2vec.errors import UserError
from mmimg2vec.visualization.figures import save_figure, style_axes

#: What is drawn: key of a log -> title of a panel.
QUANTITIES = {
    'loss': 'training loss',
    'knn/accuracy_cls_token': 'kNN accuracy, class token (%)',
    'prediction_diversity': 'diversity of the predictions (dotted: targets)',
    'prediction_cosine': 'cosine of prediction and target',
}
_COLORS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9')


def read_runs(folders: Mapping[str, Path]) -> dict[str, list[dict[str, Any]]]:
    """Name -> the logged records of a run, oldest first.

    Args:
        folders: Name -> folder of a run.

    Raises:
        UserError: A folder holds no run.
    """
    runs = {name: read_scalars(folder) for name, folder in folders.items()}
    for name, records in runs.items():
        if not records:
            raise UserError(f'{folders[name]} holds no run: nothing is logged in */vis_data/scalars.json')
    return runs


def draw_runs(runs: Mapping[str, list[dict[str, Any]]], path: Path) -> Path:
    """Draw a panel per quantity of ``QUANTITIES``, a line per run.

    Args:
        runs: Name -> records, as :func:`read_runs` gives them.
        path: PNG file to write.
    """
    figure = Figure(figsize=(9, 6.4), dpi=100, layout='constrained')
    for axes, (key, title) in zip(figure.subplots(2, 2).flat, QUANTITIES.items(), strict=True):
        for (name, records), color in zip(runs.items(), _COLORS * len(runs), strict=False):
            steps, values = curve(records, key)
            axes.plot(steps, values, 'o-' if len(steps) < 10 else '-', color=color, label=name, markersize=4)
            if key == 'prediction_diversity':
                axes.plot(*curve(records, 'target_diversity'), ':', color=color)
        axes.set_title(title, fontsize=11)
        axes.set_xlabel('iteration')
        style_axes(axes, grid=True)
    figure.axes[0].legend(frameon=False)
    return save_figure(figure, path)


def table_of_runs(runs: Mapping[str, list[dict[str, Any]]]) -> str:
    """The same in words: the first and the last value of each quantity, as a table in Markdown."""
    keys = {'loss': 'loss', 'knn/accuracy_cls_token': 'kNN (%)', 'target_diversity': 'diversity of targets'}
    keys |= {'prediction_diversity': 'of predictions', 'prediction_cosine': 'cosine'}
    lines = ['| run | ' + ' | '.join(keys.values()) + ' |', '|---' * (1 + len(keys)) + '|']
    for name, records in runs.items():
        cells = []
        for key in keys:
            _, values = curve(records, key)
            cells.append(f'{values[0]:.3g} -> {values[-1]:.3g}' if values else '-')
        lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)
