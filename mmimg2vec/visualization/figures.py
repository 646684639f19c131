"""What the project's charts share: how their axes look, and how they become files."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def style_axes(axes: Axes, grid: bool = False) -> None:
    """Small labels and no frame at the top and the right.

    Args:
        axes: Changed in place.
        grid: Whether faint lines help to read values.
    """
    axes.spines[['top', 'right']].set_visible(False)
    axes.tick_params(labelsize=8)
    if grid:
        axes.grid(alpha=0.25)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, without a display and without pyplot's global state.

    Returns:
        The path.
    """
    FigureCanvasAgg(figure).print_png(str(path))
    return path
