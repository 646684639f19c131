"""Principal components of the foreground of many images, on one basis (as DINOv2, arXiv 2304.07193, section 7.5)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mmimg2vec.errors import UserError
from mmimg2vec.visualization.features import ColorBasis, color_basis, to_colors


class ForegroundBasis(NamedTuple):
    """What is foreground, and its colors.

    Attributes:
        first: Basis of all tokens; its first component parts foreground from background.
        sign: 1 where large values are the foreground, -1 where small ones are.
        threshold: Least share, from 0 to 1, of the range of that component that is foreground.
        colors: Basis of the tokens in the foreground.
    """

    first: ColorBasis
    sign: float
    threshold: float
    colors: ColorBasis


def fit_foreground(tokens: Tensor, border: Tensor, threshold: float = 0.5) -> ForegroundBasis:
    """Fit one basis for the tokens of many images.

    The first principal component of all tokens usually tells objects from what is around them. An axis has no sign of
    its own: the side that has the larger share of the tokens at the borders of the images is taken for the background
    (the project's choice).

    Args:
        tokens: (N, C).
        border: bool (N,), whether a token lies at the border of its image.
        threshold: Tokens whose first component, scaled to 0 to 1 between its 2nd and 98th percentiles, is not above it
            are background; 0 takes nearly all for foreground.

    Raises:
        UserError: Nothing is left of the foreground.
    """
    first = color_basis(tokens)
    share = to_colors(tokens, first)[:, 0]
    high = share > 0.5
    # Of each side, how much of it lies at borders.
    at_border = [border[side].double().mean().nan_to_num(0.0) for side in (high, ~high)]
    sign = -1.0 if at_border[0] > at_border[1] else 1.0
    inside = _share(tokens, first, sign) > threshold
    if int(inside.sum()) < 4:
        raise UserError(f'no tokens are left above the threshold {threshold:g}: take a smaller one')
    return ForegroundBasis(first, sign, threshold, color_basis(tokens[inside]))


def foreground_colors(tokens: Tensor, basis: ForegroundBasis) -> Tensor:
    """Colors (..., 3) between 0 and 1 of tokens (..., C); the background is black."""
    inside = _share(tokens, basis.first, basis.sign) > basis.threshold
    return torch.where(inside[..., None], to_colors(tokens, basis.colors), 0.0)


def _share(tokens: Tensor, basis: ColorBasis, sign: float) -> Tensor:
    share = to_colors(tokens, basis)[..., 0]
    return share if sign > 0 else 1 - share
