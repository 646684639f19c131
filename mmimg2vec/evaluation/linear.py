"""Accuracy of a linear classifier on frozen features, in one deterministic fit."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def fit_linear(
    features: Tensor, labels: Tensor, num_classes: int, l2: float = 1e-3, max_iters: int = 300
) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression by L-BFGS from zero.

    Minimises mean cross-entropy + l2 / 2 * ||W||^2; the bias is not penalised. With l2 > 0 the problem is strictly
    convex in W: the result does not depend on an initialization, an order of samples or a learning rate.

    Args:
        features: (N, C); standardize them first.
        labels: int64 (N,).
        num_classes: K.
        l2: Strength of the penalty, per sample.
        max_iters: Bound of the iterations; a fit stops earlier when it has converged.

    Returns:
        Weight (K, C) and bias (K,).
    """
    weight = features.new_zeros(num_classes, features.shape[1], requires_grad=True)
    bias = features.new_zeros(num_classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=max_iters,
        tolerance_grad=1e-6,
        tolerance_change=1e-10,
        line_search_fn='strong_wolfe',
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(features, weight, bias), labels)
        loss = loss + l2 / 2 * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return weight.detach(), bias.detach()


def linear_accuracy(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    l2: float = 1e-3,
    dtype: torch.dtype = torch.float64,
) -> float:
    """Top-1 accuracy of logistic regression on frozen features (the project's choice of a quick linear probe).

    The features are standardized by the mean and standard deviation of ``train``. It ranks features as the usual probe
    (SGD over augmented images) does, in seconds; its numbers are not those of papers.

    Args:
        train: (N, C).
        train_labels: int64 (N,).
        test: (M, C).
        test_labels: int64 (M,).
        l2: See :func:`fit_linear`.
        dtype: Of the computation.

    Returns:
        Percent of correctly classified test features.
    """
    train, test = train.to(dtype), test.to(dtype)
    mean, std = train.mean(0), train.std(0).clamp_min(1e-6)
    num_classes = int(max(train_labels.max(), test_labels.max())) + 1
    weight, bias = fit_linear((train - mean) / std, train_labels, num_classes, l2)
    predicted = F.linear((test - mean) / std, weight, bias).argmax(1)
    return 100 * float((predicted == test_labels).double().mean())
