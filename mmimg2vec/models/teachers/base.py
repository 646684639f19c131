"""The contract of teachers, frozen networks that look at images, and what one asks for and gives."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmimg2vec.checkpoint.fill import fingerprint
from mmimg2vec.errors import UserError
from mmimg2vec.models.utils import map_to_tokens

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


class NoStages(UserError):
    """A network without stages, such as a vision transformer, cannot be dilated."""


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
    grid = (feature_map.shape[2], feature_map.shape[3])
    return Features(map_to_tokens(feature_map), grid, undilated.float().mean(dim=(2, 3)))


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
    floor = (size[0] // stride[0], size[1] // stride[1])
    ceil = (-(-size[0] // stride[0]), -(-size[1] // stride[1]))
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


class Teacher(nn.Module):
    """Base of networks that a target generator asks; what a network of a library does not say has these defaults.

    Construction reads no weights. Output and options of the library are known here and nowhere else.

    Attributes:
        network: Network of the library, whose names a file of weights has.
        name: What to call the teacher.
        num_extra_tokens: Class and register tokens, which are no part of the grid.
        token_stride: Pixels between two tokens (down, across) of a plain vision transformer; None elsewhere.
        native_size: Height and width that it was trained at; None where nothing says.
        mean: Of RGB in gray levels 0 to 255, that its images are normalized with.
        std: Likewise.
        known_from: Where mean and std are from, for the log.
    """

    network: Any
    name: str
    num_extra_tokens: int = 0
    token_stride: tuple[int, int] | None = None
    native_size: tuple[int, int] | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    known_from: str = 'ImageNet, as the network does not say'

    @abstractmethod
    def forward(self, images: Tensor) -> Features:
        """Features of ``(B, 3, H, W)`` images, normalized with ``mean`` and ``std``.

        Raises:
            UserError: No grid of tokens can be made of the output.
        """

    def convert_weights(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a release under the names of ``network``; by default they have them."""
        return weights

    def draw_weights(self) -> None:
        """Draw the weights of a teacher that keeps random ones; by default construction has."""

    def stages(self) -> dict[str, nn.Module]:
        """Parts of the network, in order, whose outputs are maps ``(B, C, h, w)``; empty where none are known."""
        known = dict(self.network.named_modules())
        for name in ('stages', 'encoder.stages'):
            found = known.get(name)
            if isinstance(found, nn.ModuleList):
                return {f'{name}.{index}': stage for index, stage in enumerate(found)}
        return {}

    def dilate(self, output_stride: int) -> None:
        """Dilate the last stages, in place, until the map has this stride.

        Raises:
            NoStages: There are none.
            UserError: They cannot be dilated to this stride.
        """
        raise NoStages(
            f'output_stride={output_stride}: only ResNet-like teachers can be dilated, not {self.name}; '
            'set target_generator.output_stride=None, and input_size or resample where the grids differ'
        )

    def fingerprint(self) -> str:
        """SHA-256 (hex) of the weights."""
        return fingerprint(self)


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
    build: Callable[[], Teacher],
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


def _inspect(teacher: Teacher, size: tuple[int, int], wanted: tuple[int, int] | None, fixed: bool) -> TeacherSpec:
    features = _try(teacher, size)
    native, stride = teacher.native_size, teacher.token_stride
    if isinstance(features, Exception) and native and not fixed:
        size, features = native, _try(teacher, native)
    if isinstance(features, Exception):
        raise UserError(
            f'the teacher {teacher.name} cannot take images of {size[0]} x {size[1]} pixels ({features}); set '
            'target_generator.input_size to its own size'
        ) from features
    if wanted is not None and wanted != features.grid and stride is not None and not fixed:
        other = (wanted[0] * stride[0], wanted[1] * stride[1])
        again = _try(teacher, other)
        if not isinstance(again, Exception) and again.grid == wanted:
            size, features = other, again
    return TeacherSpec(
        name=teacher.name,
        parameters=sum(parameter.numel() for parameter in teacher.parameters()),
        size=size,
        grid=features.grid,
        channels=features.tokens.shape[-1],
        pooled_channels=features.pooled.shape[-1],
        extra_tokens=teacher.num_extra_tokens,
        mean=teacher.mean,
        std=teacher.std,
        known_from=teacher.known_from,
    )


def _try(teacher: Teacher, size: tuple[int, int]) -> Features | Exception:
    try:
        return teacher(torch.zeros(1, 3, *size))
    except (AssertionError, ValueError) as error:  # what libraries raise for another image size
        return error
