"""Pictures of token features: principal components as colors (the project's choice, as in DINOv2, 2304.07193)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

_GRAY = 0.5  # of masked patches and of positions without a prediction
_TITLES = ('image', 'visible to the student', "teacher's features", 'predicted features')


class ColorBasis(NamedTuple):
    """A map from features to colors.

    Attributes:
        mean: (C,) subtracted first.
        axes: (C, 3), one per color.
        low: (3,) coordinates that become 0.
        high: (3,) coordinates that become 1.
    """

    mean: Tensor
    axes: Tensor
    low: Tensor
    high: Tensor


def color_basis(tokens: Tensor) -> ColorBasis:
    """First three principal components of tokens (N, C), and the range between their 2nd and 98th percentiles."""
    tokens = tokens.double()
    mean = tokens.mean(0)
    centered = tokens - mean
    if len(tokens) < tokens.shape[1]:
        # The same axes through the smaller matrix.
        vectors = torch.linalg.eigh(centered @ centered.T).eigenvectors
        axes = centered.T @ vectors[:, -3:].flip(1)
        axes = axes / axes.norm(dim=0).clamp_min(1e-12)
    else:
        vectors = torch.linalg.eigh(centered.T @ centered).eigenvectors
        axes = vectors[:, -3:].flip(1)
    if axes.shape[1] < 3:
        axes = torch.cat([axes, axes.new_zeros(len(axes), 3 - axes.shape[1])], 1)
    # An eigenvector's sign is arbitrary: without this the colors would flip between two pictures.
    largest = axes.abs().argmax(0)
    axes = axes * torch.where(axes.gather(0, largest[None]) < 0, -1.0, 1.0)
    low, high = (torch.quantile(centered @ axes, q, dim=0) for q in (0.02, 0.98))
    return ColorBasis(mean, axes, low, high)


def to_colors(tokens: Tensor, basis: ColorBasis) -> Tensor:
    """Colors (..., 3) between 0 and 1 of tokens (..., C)."""
    coordinates = (tokens.double() - basis.mean) @ basis.axes
    return ((coordinates - basis.low) / (basis.high - basis.low).clamp_min(1e-12)).clamp(0, 1)


def token_grid(height: int, width: int, num_tokens: int) -> tuple[int, int]:
    """Rows and columns of ``num_tokens`` square patches of an image of ``height`` x ``width`` pixels."""
    rows = round((height * num_tokens / width) ** 0.5)
    return rows, num_tokens // rows


def draw_feature_pictures(
    images: np.ndarray,
    masks: Tensor,
    targets: Tensor,
    predictions: Tensor,
    positions: Tensor,
    title: str = '',
) -> np.ndarray:
    """One row per image: the image, its visible patches, the teacher's features, the predicted features.

    Colors are the first three principal components of all teacher features in the picture; the predictions are shown
    in the same basis. Positions without a prediction stay gray.

    Args:
        images: uint8 (B, H, W, 3), RGB.
        masks: bool (B, L), True = masked.
        targets: (B, L, C) of the teacher.
        predictions: (B, P, C).
        positions: int64 (B, P), the tokens that the predictions belong to.
        title: Written above the picture.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    count, height, width = images.shape[:3]
    num_tokens = masks.shape[1]
    rows, columns = token_grid(height, width, num_tokens)
    basis = color_basis(targets.cpu().flatten(0, 1))
    teacher = to_colors(targets.cpu(), basis)
    predicted = torch.full((count, num_tokens, 3), _GRAY, dtype=torch.float64)
    index = positions.cpu()[..., None].expand(-1, -1, 3)
    predicted.scatter_(1, index, to_colors(predictions.cpu(), basis))

    masked = masks.cpu().view(count, rows, columns).numpy()
    masked = masked.repeat(height // rows, 1).repeat(width // columns, 2)[..., None]
    photos = images / 255
    panels = [
        photos,
        np.where(masked[:, :height, :width], _GRAY, photos),
        teacher.view(count, rows, columns, 3).numpy(),
        predicted.view(count, rows, columns, 3).numpy(),
    ]
    return _compose(panels, height / width, title)


def _compose(panels: list[np.ndarray], aspect: float, title: str) -> np.ndarray:
    side, gap, top = 2.0, 0.08, 0.35 + (0.35 if title else 0)  # inches
    count = len(panels[0])
    height = top + count * (side * aspect + gap) + gap
    width = len(panels) * (side + gap) + gap
    figure = Figure(figsize=(width, height), dpi=100, facecolor='white')
    canvas = FigureCanvasAgg(figure)
    for row in range(count):
        for column, panel in enumerate(panels):
            left = gap + column * (side + gap)
            bottom = height - top - (row + 1) * (side * aspect + gap) + gap
            axes = figure.add_axes((left / width, bottom / height, side / width, side * aspect / height))
            axes.imshow(panel[row], interpolation='nearest', aspect='auto')
            axes.set_axis_off()
            if row == 0:
                axes.set_title(_TITLES[column], fontsize=10, pad=4)
    if title:
        figure.text(0.5, 1 - 0.2 / height, title, ha='center', va='center', fontsize=12)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
