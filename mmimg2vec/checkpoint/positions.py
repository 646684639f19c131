"""Position embeddings of a file on the grid of the network that takes them, by what the file says of its own grid.

mmpretrain takes a table of 64 positions for 8 x 8 patches. A backbone of 32 x 128 px has 4 x 16 of them, and its own
config, which its files carry, says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor, nn

from mmimg2vec.checkpoint.config_text import checkpoint_config

_NAME = 'pos_embed'


class Weights(dict[str, Tensor]):
    """The tensors of a checkpoint under their full names.

    Attributes:
        grid: Rows and columns of patches that the position embeddings of its backbone are for; None where the file does
            not tell.
        note: What was done to them.
    """

    grid: tuple[int, int] | None = None
    note: str = ''


def file_grid(checkpoint: Any) -> tuple[int, int] | None:
    """Rows and columns of patches, as the config that a checkpoint carries has them."""
    model = checkpoint_config(checkpoint).get('model')
    backbone = model.get('backbone') if isinstance(model, Mapping) else None
    if not isinstance(backbone, Mapping):
        return None
    (height, width), patch = (
        _pair(backbone.get('pos_embed_size') or backbone.get('img_size', 224)),
        _pair(backbone.get('patch_size', 16)),
    )
    return (height // patch[0], width // patch[1]) if height and width and all(patch) else None


def fit_positions(weights: Weights, module: nn.Module) -> Weights:
    """Resize the position embeddings of a file whose grid is known, where a guess of a square would be wrong.

    Args:
        weights: Of the file.
        module: Vision transformer, or the model around one; its ``patch_resolution`` is the grid that is wanted.

    Returns:
        The weights with these tables in the grid of ``module``, class token first where there is one; those given where
        nothing is to be done.
    """
    owner: Any = next(
        (part for part in module.modules() if hasattr(part, _NAME) and hasattr(part, 'patch_resolution')), None
    )
    if owner is None or weights.grid is None:
        return weights
    here, there = tuple(getattr(owner, 'position_grid', owner.patch_resolution)), weights.grid
    # The network's own hook resizes one square to another.
    if there == here or (there[0] == there[1] and here[0] * here[1] != there[0] * there[1]):
        return weights
    count = there[0] * there[1]
    fitted = Weights(weights)
    fitted.grid, changed = here, False
    for name, table in weights.items():
        extra = table.shape[1] - count if name.split('.')[-1] == _NAME and table.ndim == 3 else -1
        if extra in (0, 1):
            mode = getattr(owner, 'interpolate_mode', 'bicubic')
            fitted[name], changed = resize_pos_embed(table, there, here, mode, extra), True
    if not changed:
        return weights
    fitted.note = f'position embeddings of {there[0]} x {there[1]} patches resized to {here[0]} x {here[1]}'
    return fitted


def _pair(size: Any) -> tuple[int, int]:
    values = size if isinstance(size, list | tuple) else (size, size)
    if len(values) != 2 or not all(isinstance(value, int) and value > 0 for value in values):
        return 0, 0
    return values[0], values[1]
