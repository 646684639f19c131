"""The contract of all target generators: frozen, seen by nobody but the forward pass; how targets are normalized."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine import dist
from mmengine.model import BaseModule
from torch import Tensor, nn

NORMALIZATIONS = ('none', 'layer', 'batch', 'whiten', 'spatial')
_EPS = 1e-6
# Share of the mean over an image's tokens that 'spatial' takes off: iREPA (arXiv 2512.10794) finds 0.6 to 0.8 best.
_SPATIAL_SHARE = 0.7
# Share of the mean variance added to the covariance's diagonal: keeps it invertible with fewer tokens than channels.
_SHRINKAGE = 1e-2


@dataclass(frozen=True)
class TargetLayout:
    """What a target generator gives for images of one size.

    Attributes:
        grid: Rows and columns of the token grid.
        channels: Width of the target tokens.
        pooled_channels: Width of the feature of the whole image; 0 where there is none.
        parts: Of several teachers side by side: name, channels and pooled channels of each.
    """

    grid: tuple[int, int]
    channels: int
    pooled_channels: int
    parts: tuple[tuple[str, int, int], ...] = ()


class TargetGenerator(BaseModule, metaclass=ABCMeta):
    """Base of everything that says what the student has to predict.

    A target generator is a registered child of the model, so that it moves with it, and frozen whatever anyone
    calls: always in eval mode, without gradients, in its own dtype. :func:`freeze` turns its weights into
    non-persistent buffers, which keeps them out of the optimizer, out of DDP's gradient buckets, out of FSDP's
    shards and out of every checkpoint. A copy of the model (an EMA) shares it.

    Attributes:
        has_teacher: Whether a network sees the images, so that their values have to be those of photographs.
    """

    has_teacher: bool = False

    def __init__(self) -> None:
        super().__init__()
        # Tells the device, and gives `_apply` something to ask about.
        self.register_buffer('_marker', torch.zeros(0), persistent=False)

    @abstractmethod
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Targets of a batch.

        Args:
            images: ``(B, C, H, W)`` as the student gets them, unmasked, normalized by the student's preprocessor.

        Returns:
            ``tokens``: ``(B, L, channels)`` on the student's grid, raster order; ``pooled``: ``(B, channels)`` for
            the whole image, where there is such a feature.
        """

    @abstractmethod
    def describe(self, img_size: tuple[int, int]) -> TargetLayout:
        """Grid and widths for images of ``(height, width)``, without loading weights.

        Raises:
            UserError: The target's grid cannot be matched with the student's.
        """

    def connect(self, patch_size: tuple[int, int], in_channels: int, mean: Tensor | None, std: Tensor | None) -> None:
        """Tell the generator about the student, once, when the algorithm is built.

        Args:
            patch_size: The student's patch in pixels (height, width).
            in_channels: Channels of the student's images.
            mean: ``(in_channels,)`` mean that the student's preprocessor subtracted, in gray levels; None: nothing.
            std: Likewise, what it divided by.
        """

    def load(self) -> None:
        """Load the weights where that has not been done.

        The model calls it at its initialization, before training starts, so that a mistake shows then; else the first
        forward does. A model that only extracts features never loads them.
        """

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 of the weights (loads them), or None where there are none."""
        return None

    def init_weights(self) -> None:
        """Do nothing: the model calls :meth:`load` once its own parts are initialized."""

    def train(self, mode: bool = True) -> TargetGenerator:
        """Stay in eval mode: a BatchNorm teacher in train mode would change with every batch."""
        return super().train(False)

    def requires_grad_(self, requires_grad: bool = True) -> TargetGenerator:
        """Stay frozen."""
        return self

    def apply(self, fn: Callable) -> TargetGenerator:
        """Let no initializer of the model reach the weights."""
        return self

    def _apply(self, fn: Callable, recurse: bool = True) -> TargetGenerator:
        # Moves between devices are followed; changes of dtype (`model.half()`) are not.
        device = fn(self._marker).device
        return super()._apply(lambda tensor: tensor.to(device))

    def __deepcopy__(self, memo: dict) -> TargetGenerator:
        # Frozen, so a copy (an EMA's) would cost memory and give nothing.
        return self


def freeze(module: nn.Module) -> nn.Module:
    """Turn all parameters and buffers of a module into non-persistent buffers, in place, and set eval mode."""
    module.eval()
    for child in module.modules():
        for name, parameter in list(child._parameters.items()):
            del child._parameters[name]
            data = None if parameter is None else parameter.detach()
            child.register_buffer(name, data, persistent=False)
        child._non_persistent_buffers_set.update(child._buffers)
    return module


def normalize(features: Tensor, kind: str) -> Tensor:
    """Normalize target features; statistics over a batch are those of all processes together.

    Args:
        features: ``(..., C)``; leading dimensions are samples. ``(B, L, C)`` for ``'spatial'``.
        kind: ``'none'``; ``'layer'``: each feature to mean 0 and variance 1 over its channels (as data2vec and MAE do
            with their targets); ``'batch'``: each channel to mean 0 and variance 1 over all samples; ``'whiten'``:
            also decorrelated, by the Cholesky factor of the covariance (shrunk by 1 % towards its mean variance);
            ``'spatial'``: of each image and channel, minus 0.7 times the mean over the tokens, over their standard
            deviation (iREPA, arXiv 2512.10794).

    Returns:
        float32, same shape.
    """
    features = features.float()
    if kind == 'none':
        return features
    if kind == 'layer':
        return F.layer_norm(features, features.shape[-1:], eps=_EPS)
    if kind == 'spatial':
        mean = features.mean(dim=-2, keepdim=True)
        variance = (features - mean).square().mean(dim=-2, keepdim=True)
        return (features - _SPATIAL_SHARE * mean) * (variance + _EPS).rsqrt()
    rows = features.flatten(0, -2)
    # Filled on the device: `new_tensor` would copy the number there, and the host would wait.
    count = _sum_over_ranks(rows.new_full((), float(len(rows))))
    rows = rows - _sum_over_ranks(rows.sum(dim=0)) / count
    if kind == 'batch':
        variance = _sum_over_ranks(rows.square().sum(dim=0)) / count
        return (rows * (variance + _EPS).rsqrt()).view_as(features)
    covariance = _sum_over_ranks(rows.T @ rows) / count
    ridge = _SHRINKAGE * covariance.diagonal().mean() + _EPS
    covariance.diagonal().add_(ridge)
    # `cholesky_ex` does not make the host wait for the device, as `cholesky` does to check for errors.
    factor = torch.linalg.cholesky_ex(covariance).L
    white = torch.linalg.solve_triangular(factor, rows.T, upper=False).T
    return white.reshape(features.shape)


def _sum_over_ranks(tensor: Tensor) -> Tensor:
    dist.all_reduce(tensor)
    return tensor
