"""What a teacher asks for and gives, worked out from the network without its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from mmimg2vec.errors import UserError
from mmimg2vec.models.teachers.features import Features
from mmimg2vec.models.teachers.network import read_features, token_stride

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class TeacherSpec:
    """A teacher, without its weights.

    Attributes:
        name: What to call it.
        parameters: Their number.
        size: Height and width of the images that it is given.
        grid: Rows and columns of its tokens.
        channels: Width of a token.
        pooled_channels: Width of the feature of the whole image.
        extra_tokens: Class and register tokens, which are no part of the grid.
        mean: Of RGB in gray levels, that its images are normalized with.
        std: Likewise.
        known_from: Where mean and std are from.
    """

    name: str
    parameters: int
    size: tuple[int, int]
    grid: tuple[int, int]
    channels: int
    pooled_channels: int
    extra_tokens: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    known_from: str

    def __str__(self) -> str:
        numbers = ', '.join(f'{value:.5g}' for value in self.mean)
        deviations = ', '.join(f'{value:.5g}' for value in self.std)
        strides = ' x '.join(f'{n / g:.4g}' for n, g in zip(self.size, self.grid, strict=True))
        return (
            f'{self.name}, {self.parameters / 1e6:.4g} M parameters: {self.size[0]} x {self.size[1]} pixels give '
            f'{self.grid[0]} x {self.grid[1]} tokens of {self.channels} (stride {strides}), class and register tokens: '
            f'{self.extra_tokens}; mean ({numbers}), std ({deviations}) of RGB in gray levels, from {self.known_from}'
        )


def inspect_teacher(
    build: Callable[[], nn.Module],
    size: tuple[int, int],
    wanted: tuple[int, int] | None = None,
    fixed: bool = False,
) -> TeacherSpec:
    """Work out a teacher's sizes on the meta device, or on the CPU where its construction computes numbers.

    Args:
        build: Builds the network.
        size: Height and width of the images.
        wanted: Token grid that a plain vision transformer shall reach by another size of the images; None: any.
        fixed: Whether ``size`` is all that may be tried. Else a network that takes its own size only gets that.

    Raises:
        UserError: The network cannot be built, or cannot take images of this size.
    """
    try:
        with torch.device('meta'), torch.no_grad():
            return _inspect(build(), size, wanted, fixed)
    except UserError:
        raise
    except (NotImplementedError, RuntimeError):
        with torch.device('cpu'), torch.no_grad():
            return _inspect(build(), size, wanted, fixed)


def _inspect(teacher: nn.Module, size: tuple[int, int], wanted: tuple[int, int] | None, fixed: bool) -> TeacherSpec:
    features = _try(teacher, size)
    native = getattr(teacher, 'native_size', None)
    if isinstance(features, Exception) and native and not fixed:
        size, features = native, _try(teacher, native)
    if isinstance(features, Exception):
        raise UserError(
            f'the teacher {_name(teacher)} cannot take images of {size[0]} x {size[1]} pixels ({features}); set '
            'target_generator.input_size to its own size'
        ) from features
    stride = token_stride(teacher)
    if wanted not in (None, features.grid) and stride is not None and not fixed:
        other = (wanted[0] * stride[0], wanted[1] * stride[1])
        again = _try(teacher, other)
        if not isinstance(again, Exception) and again.grid == wanted:
            size, features = other, again
    known_from = getattr(teacher, 'known_from', 'ImageNet, as the network does not say')
    return TeacherSpec(
        name=_name(teacher),
        parameters=sum(parameter.numel() for parameter in teacher.parameters()),
        size=size,
        grid=features.grid,
        channels=features.tokens.shape[-1],
        pooled_channels=features.pooled.shape[-1],
        extra_tokens=getattr(teacher, 'num_extra_tokens', 0),
        mean=getattr(teacher, 'mean', IMAGENET_MEAN),
        std=getattr(teacher, 'std', IMAGENET_STD),
        known_from=known_from,
    )


def _try(teacher: nn.Module, size: tuple[int, int]) -> Features | Exception:
    try:
        return read_features(teacher, torch.zeros(1, 3, *size))
    except (AssertionError, ValueError) as error:  # what libraries raise for another image size
        return error


def _name(teacher: nn.Module) -> str:
    label = getattr(teacher, 'model_name', getattr(teacher, 'label', ''))
    return f'{type(teacher).__name__}{f" {label}" if label else ""}'
