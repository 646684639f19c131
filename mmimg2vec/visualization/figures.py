"""What the project's charts share: how their axes look, and how they become files."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

# The least height of a text in pixels: smaller ones are not read on a phone, or by everyone (the project's choice).
_PIXELS = 12


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
    """Write a figure as PNG, without a display and without pyplot's global state; no text is smaller than 12 pixels.

    Returns:
        The path.
    """
    smallest = _PIXELS * 72 / figure.dpi  # in points
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):  # whose labels are made while the figure is drawn
            size = axis.get_tick_params().get('labelsize', smallest)
            axis.set_tick_params(labelsize=max(size, smallest) if isinstance(size, float | int) else size)
    for text in figure.findobj(Text):
        text.set_fontsize(max(text.get_fontsize(), smallest))
    FigureCanvasAgg(figure).print_png(str(path))
    return path
