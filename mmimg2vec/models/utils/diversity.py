"""Token diversity: how unlike one another the tokens of an image are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def unit_length(tokens: Tensor) -> Tensor:
    """Scale each token ``(..., C)`` to length 1, whatever its size; one that is zero throughout stays zero."""
    largest = tokens.abs().amax(dim=-1, keepdim=True)
    # First by the largest entry: squares of tiny or huge ones would leave the range of the type.
    return F.normalize(tokens / largest.clamp_min(torch.finfo(tokens.dtype).tiny), dim=-1)


def token_diversity(tokens: Tensor) -> Tensor:
    r"""Token diversity of each image.

    With unit-length tokens :math:`z_1 \dots z_L`,

    .. math:: 1 - \frac{1}{L (L-1)} \sum_{i \ne j} z_i \cdot z_j
              = 1 - \frac{\lVert \sum_i z_i \rVert^2 - L}{L (L-1)},

    the closed form costs O(L C) instead of O(L^2 C). 0 for equal tokens, 1 for orthogonal ones; negative cosines can
    bring it slightly above 1. Source: the quantity that Img2Vec (arXiv 2304.12535) names; the formula is the
    project's choice.

    Args:
        tokens: ``(B, L, C)`` with L > 1, any scale. Half-precision tokens are measured in float32.

    Returns:
        ``(B,)`` diversities.
    """
    length = tokens.shape[1]
    unit = unit_length(tokens if tokens.dtype.itemsize >= 4 else tokens.float())
    similar = unit.sum(dim=1).square().sum(dim=-1) - unit.square().sum(dim=(1, 2))
    return 1 - similar / (length * (length - 1))
