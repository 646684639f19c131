"""Normalization of target features: none, per token, per channel over the batch, or whitened."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine import dist
from torch import Tensor

NORMALIZATIONS = ('none', 'layer', 'batch', 'whiten')
_EPS = 1e-6
# Share of the mean variance added to the covariance's diagonal: keeps it invertible with fewer tokens than channels.
_SHRINKAGE = 1e-2


def normalize(features: Tensor, kind: str) -> Tensor:
    """Normalize target features; statistics over a batch are those of all processes together.

    Args:
        features: ``(..., C)``; leading dimensions are samples.
        kind: ``'none'``; ``'layer'``: each feature to mean 0 and variance 1 over its channels (as data2vec and MAE do
            with their targets); ``'batch'``: each channel to mean 0 and variance 1 over all samples; ``'whiten'``:
            also decorrelated, by the Cholesky factor of the covariance (shrunk by 1 % towards its mean variance).

    Returns:
        float32, same shape.
    """
    features = features.float()
    if kind == 'none':
        return features
    if kind == 'layer':
        return F.layer_norm(features, features.shape[-1:], eps=_EPS)
    rows = features.flatten(0, -2)
    count = _sum_over_ranks(rows.new_tensor(float(len(rows))))
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
