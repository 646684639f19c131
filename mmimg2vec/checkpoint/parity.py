"""Whether two models compute the same features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mmimg2vec.errors import UserError

# Float32 features of 12 to 32 blocks, computed in another order, agree to about 1e-6 (the project's choice).
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Parity:
    """Outcome of a comparison.

    Attributes:
        img_size: (height, width) of the images.
        max_difference: Largest absolute difference between two features.
        relative: The same, divided by the largest absolute feature.
    """

    img_size: tuple[int, int]
    max_difference: float
    relative: float

    def __str__(self) -> str:
        height, width = self.img_size
        return (
            f'features at {height} x {width} differ by at most {self.max_difference:.2g} '
            f'({self.relative:.2g} of the largest)'
        )


@torch.no_grad()
def compare(
    ours: Callable[[Tensor], Tensor],
    theirs: Callable[[Tensor], Tensor],
    img_size: tuple[int, int],
    in_channels: int,
) -> Parity:
    """Compare the features of two random images.

    Args:
        ours: Images ``(B, C, H, W)`` -> features of any shape.
        theirs: Likewise, the same shape.
        img_size: (height, width) in pixels.
        in_channels: Channels of an image.

    Raises:
        UserError: They differ by more than ``TOLERANCE`` of the largest feature, in shape, or are not finite.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, in_channels, *img_size, generator=generator)
    expected, found = ours(images), theirs(images)
    if expected.shape != found.shape:
        raise UserError(
            f'nothing is written: the features have the shape {tuple(expected.shape)}, those of the converted model '
            f'{tuple(found.shape)}'
        )
    difference = (expected - found).abs().max().item()
    parity = Parity(img_size, difference, difference / max(expected.abs().max().item(), 1e-12))
    if not parity.relative <= TOLERANCE:  # also true of NaN
        raise UserError(
            f'nothing is written: the converted model does not compute the same, its {parity}; allowed is {TOLERANCE:g}'
        )
    return parity
