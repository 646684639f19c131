"""Figures of a comparison of teachers: ranking against cost, curves over stages, pictures of single images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from mmimg2vec.teacher_selection.table import Row, ranked
from mmimg2vec.visualization.features import color_basis, to_colors
from mmimg2vec.visualization.figures import save_figure, style_axes


def draw_ranking(rows: Sequence[Row], path: Path) -> bool:
    """Diversity with its interval, ranked, and against the multiply-adds of an image; False where nothing is known."""
    rows = [row for row in ranked(rows) if row.diversity is not None]
    if not rows:
        return False
    height = round(max(3.0, 1.4 + 0.35 * len(rows)), 2)  # matplotlib cuts 349.99 px to 349
    figure = Figure(figsize=(11, height), dpi=100, layout='constrained')
    bars, scatter = figure.subplots(1, 2)
    places = range(len(rows))
    # None becomes NaN: a single image has no interval.
    low, values, high = np.array([(r.diversity_low, r.diversity, r.diversity_high) for r in rows], float).T
    errors = np.nan_to_num([values - low, high - values])
    bars.barh(places, values, xerr=np.clip(errors, 0, None), color='#7f8c8d', height=0.65)
    bars.set_yticks(places, [f'{number}. {row.teacher}' for number, row in enumerate(rows, start=1)], fontsize=8)
    bars.invert_yaxis()
    bars.set_xlabel('token diversity, 95 % interval over images', fontsize=8)
    # Numbers: names of networks that cost alike would lie over one another.
    for number, row in enumerate(rows, start=1):
        cost = row.gmac or (row.parameters or 0) / 1e9
        scatter.plot(cost, row.diversity, 'o', color='#c0392b')
        scatter.annotate(
            str(number),
            (cost, row.diversity),
            (0, 6),
            textcoords='offset points',
            fontsize=7,
            ha='center',
        )
    scatter.set_xscale('log')
    scatter.margins(x=0.3, y=0.15)
    scatter.set_xlabel('10⁹ multiply-adds for an image', fontsize=8)
    scatter.set_ylabel('token diversity', fontsize=8)
    _finish(figure, path)
    return True


def draw_stages(rows: Sequence[Row], path: Path) -> bool:
    """Diversity of each convolutional teacher's stages; False where there are none."""
    rows = [row for row in ranked(rows) if len(row.stages) > 1]
    if not rows:
        return False
    figure = Figure(figsize=(7, 4), dpi=100, layout='constrained')
    axes = figure.subplots()
    for row in rows:
        # Counted from the last, which is the usual target.
        places = range(1 - len(row.stages), 1)
        axes.plot(places, list(row.stages.values()), '.-', label=row.teacher)
    deepest = max(len(row.stages) for row in rows)
    axes.set_xticks(range(1 - deepest, 1), [f'last - {-i}' if i else 'last' for i in range(1 - deepest, 1)])
    axes.set_xlabel('stage', fontsize=8)
    axes.set_ylabel('token diversity', fontsize=8)
    axes.legend(fontsize=7, frameon=False)
    _finish(figure, path)
    return True


def draw_image(
    image: np.ndarray,
    tokens: Mapping[str, tuple[Tensor, tuple[int, int]]],
    point: tuple[float, float],
    path: Path,
) -> None:
    """One image under several teachers: similarity of every token to the one at a point, and colors of components.

    Args:
        image: uint8 ``(H, W, 3)``, RGB.
        tokens: Name of a teacher -> its tokens ``(L, C)`` and their grid.
        point: Height and width of the chosen place, from 0 to 1.
        path: Of the picture.
    """
    columns = 1 + len(tokens)
    figure = Figure(figsize=(2.1 * columns + 0.8, 4.4), dpi=110, layout='constrained')
    grid_spec = figure.add_gridspec(2, columns)
    shown = figure.add_subplot(grid_spec[:, 0])
    shown.imshow(image)
    height, width = image.shape[:2]
    shown.plot(point[1] * width - 0.5, point[0] * height - 0.5, '+', color='white', ms=15, mew=4)
    shown.plot(point[1] * width - 0.5, point[0] * height - 0.5, '+', color='red', ms=13, mew=2)
    shown.set_title('image, chosen token', fontsize=8)
    maps = {}
    for name, (features, grid) in tokens.items():
        chosen = features[token_at(point, grid)][None]
        maps[name] = F.cosine_similarity(features, chosen, dim=-1).view(grid).numpy()
    # One scale for all teachers, from the least similar token that any of them has.
    low = min((float(values.min()) for values in maps.values()), default=0.0)
    upper, lower = [], []
    for column, (name, (features, grid)) in enumerate(tokens.items(), start=1):
        upper.append(figure.add_subplot(grid_spec[0, column]))
        scale = upper[-1].imshow(maps[name], vmin=low, vmax=1, cmap='viridis')
        place = token_at(point, grid)
        upper[-1].plot(place % grid[1], place // grid[1], '+', color='red', ms=9, mew=2)
        upper[-1].set_title(name, fontsize=8)
        lower.append(figure.add_subplot(grid_spec[1, column]))
        colors = to_colors(features, color_basis(features)).view(*grid, 3)
        lower[-1].imshow(colors.numpy(), interpolation='nearest')
        lower[-1].set_title('principal components as colors', fontsize=7)
    for axes in figure.axes:
        axes.set_axis_off()
    if tokens:
        label = 'cosine similarity to the chosen token'
        bar = figure.colorbar(scale, ax=upper, shrink=0.9)
        bar.set_label(label, fontsize=7)
        bar.ax.tick_params(labelsize=7)
    save_figure(figure, path)


def token_at(point: tuple[float, float], grid: tuple[int, int]) -> int:
    """Index of the token at a place (height and width from 0 to 1)."""
    row, column = (min(int(x * n), n - 1) for x, n in zip(point, grid, strict=True))
    return row * grid[1] + column


def _finish(figure: Figure, path: Path) -> None:
    for ax in figure.axes:
        style_axes(ax, grid=True)
    save_figure(figure, path)
