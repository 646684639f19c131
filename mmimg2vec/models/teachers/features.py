"""The form that every teacher's output is brought into: tokens on a grid, and one feature of the whole image."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from mmimg2vec.errors import UserError
from mmimg2vec.models.utils import map_to_tokens


class Features(NamedTuple):
    """What a teacher sees in a batch.

    Attributes:
        tokens: ``(B, L, C)`` in raster order, class and register tokens left out.
        grid: Rows and columns of the tokens.
        pooled: ``(B, C)`` of the whole image: the class token where there is one, else the mean of the tokens; of a
            dilated network, of those that it has without dilation.
    """

    tokens: Tensor
    grid: tuple[int, int]
    pooled: Tensor


def from_map(feature_map: Tensor, dilation: int = 1) -> Features:
    """Features of a map.

    Args:
        feature_map: ``(B, C, h, w)``.
        dilation: Factor by which the map is denser than the network makes it without dilation. Every so many rows and
            columns it holds exactly that network's map, of which the mean is taken.
    """
    undilated = feature_map[:, :, ::dilation, ::dilation]
    return Features(map_to_tokens(feature_map), tuple(feature_map.shape[-2:]), undilated.float().mean(dim=(2, 3)))


def from_tokens(
    output: Tensor,
    extra: int,
    stride: tuple[int, int],
    size: tuple[int, int],
    class_token: bool | None = None,
    name: str = 'the teacher',
) -> Features:
    """Features of tokens that stand in raster order behind class and register tokens.

    Args:
        output: ``(B, extra + L, C)``.
        extra: Number of class and register tokens, which stand first.
        stride: Pixels between two tokens (down, across).
        size: Height and width of the images in pixels.
        class_token: Whether the first of the extra tokens stands for the whole image; None: where there are any.
        name: What to call the teacher in the error.

    Raises:
        UserError: The number of tokens does not fit the images.
    """
    patches = output[:, extra:]
    # A last patch that the image fills in part is dropped by some networks and padded by others.
    floor = tuple(n // step for n, step in zip(size, stride, strict=True))
    ceil = tuple(-(-n // step) for n, step in zip(size, stride, strict=True))
    for grid in (floor, ceil):
        if grid[0] * grid[1] == patches.shape[1]:
            break
    else:
        raise UserError(
            f'{name} gives {output.shape[1]} tokens for images of {size[0]} x {size[1]} pixels, which a stride of '
            f'{stride[0]} x {stride[1]} and {extra} class and register tokens do not explain; use another network'
        )
    first = extra > 0 if class_token is None else class_token and extra > 0
    return Features(patches, grid, output[:, 0] if first else patches.float().mean(dim=1))
