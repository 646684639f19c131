"""Figures of a comparison of teachers: ranking against cost, curves over stages, pictures of single images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from mmimg2vec.analysis.diversity.table import Row, ranked
from mmimg2vec.analysis.feature_pictures import colour_basis, to_colours


def draw_ranking(rows: Sequence[Row], path: Path) -> bool:
    """Diversity with its interval, ranked, and against the multiply-adds of an image; False where nothing is known."""
    rows = [row for row in ranked(rows) if row.diversity is not None]
    if not rows:
        return False
    figure = Figure(figsize=(11, max(3.0, 1.4 + 0.35 * len(rows))), dpi=100, layout='constrained')
    bars, scatter = figure.subplots(1, 2)
    places = range(len(rows))
    values = [row.diversity for row in rows]
    errors = np.nan_to_num(
        [[r.diversity - r.diversity_low, r.diversity_high - r.diversity] for r in rows]
    ).T
    bars.barh(places, values, xerr=np.clip(errors, 0, None), color='#7f8c8d', height=0.65)
    bars.set_yticks(places, [row.teacher for row in rows], fontsize=8)
    bars.invert_yaxis()
    bars.set_xlabel('token diversity, 95 % interval over images', fontsize=8)
    for row in rows:
        cost = row.gmac or row.parameters / 1e9
        scatter.plot(cost, row.diversity, 'o', color='#c0392b')
        scatter.annotate(
            row.teacher, (cost, row.diversity), (4, 4), textcoords='offset points', fontsize=7
        )
    scatter.set_xscale('log')
    scatter.margins(x=0.3)
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
    axes.set_xticks(
        range(1 - deepest, 1), [f'last - {-i}' if i else 'last' for i in range(1 - deepest, 1)]
    )
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
    """One image under several teachers: similarity of every token to the one at a point, and colours of components.

    Args:
        image: uint8 ``(H, W, 3)``, RGB.
        tokens: Name of a teacher -> its tokens ``(L, C)`` and their grid.
        point: Height and width of the chosen place, from 0 to 1.
        path: Of the picture.
    """
    columns = 1 + len(tokens)
    figure = Figure(figsize=(2.1 * columns, 4.5), dpi=100, layout='constrained')
    axes = figure.subplots(2, columns, squeeze=False)
    for row in axes:
        row[0].imshow(image)
    height, width = image.shape[:2]
    axes[0, 0].plot(point[1] * width - 0.5, point[0] * height - 0.5, 'r+', markersize=12)
    axes[0, 0].set_title('image, chosen token', fontsize=8)
    for column, (name, (features, grid)) in enumerate(tokens.items(), start=1):
        chosen = token_at(point, grid)
        similarity = F.cosine_similarity(features, features[chosen][None], dim=-1).view(grid)
        shown = axes[0, column].imshow(similarity.numpy(), vmin=-1, vmax=1, cmap='RdBu_r')
        axes[0, column].plot(chosen % grid[1], chosen // grid[1], 'k+')
        axes[0, column].set_title(name, fontsize=8)
        colours = to_colours(features, colour_basis(features)).view(*grid, 3)
        axes[1, column].imshow(colours.numpy(), interpolation='nearest')
    for ax in axes.flat:
        ax.set_axis_off()
    if tokens:
        figure.colorbar(shown, ax=axes[0, 1:], shrink=0.8, label='cosine similarity')
    FigureCanvasAgg(figure).print_png(str(path))


def token_at(point: tuple[float, float], grid: tuple[int, int]) -> int:
    """Index of the token at a place (height and width from 0 to 1)."""
    row, column = (min(int(x * n), n - 1) for x, n in zip(point, grid, strict=True))
    return row * grid[1] + column


def _finish(figure: Figure, path: Path) -> None:
    for ax in figure.axes:
        ax.spines[['top', 'right']].set_visible(False)
        ax.tick_params(labelsize=8)
        ax.grid(alpha=0.25)
    FigureCanvasAgg(figure).print_png(str(path))
