"""Measures of an image's tokens, and their mean over a stream of images."""

from __future__ import annotations

import math

import torch
from scipy.stats import t as student_t
from torch import Tensor

from mmimg2vec.models.utils.tokens import unit_length


def effective_rank(tokens: Tensor) -> Tensor:
    r"""Number of directions in which the tokens of each image differ, smoothly counted.

    With unit-length tokens as the rows of :math:`Z` and the eigenvalues :math:`p` of :math:`Z Z^T / L`, which sum to 1,
    it is :math:`\exp(-\sum p \log p)`: 1 for equal tokens, L for orthogonal ones. Source: the effective rank of Roy and
    Vetterli (EUSIPCO 2007), on the eigenvalues that belong to token diversity, the project's choice.

    Args:
        tokens: ``(B, L, C)``, any scale. Costs O(L C min(L, C)) per image.

    Returns:
        ``(B,)`` in float64.
    """
    unit = unit_length(tokens.double())
    # The same eigenvalues through the smaller matrix.
    wide = unit.shape[1] > unit.shape[2]
    gram = unit.mT @ unit if wide else unit @ unit.mT
    shares = torch.linalg.eigvalsh(gram).clamp_min(0)
    shares = shares / shares.sum(dim=-1, keepdim=True).clamp_min(1e-300)
    return torch.special.entr(shares).sum(dim=-1).exp()


class RunningMean:
    """Mean, standard deviation and confidence interval of a stream of numbers, in constant memory (Welford)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0

    def add(self, values: Tensor) -> None:
        """Take up the numbers ``(B,)``."""
        for value in values.tolist():
            self.count += 1
            step = value - self.mean
            self.mean += step / self.count
            self._squares += step * (value - self.mean)

    @property
    def std(self) -> float:
        """Standard deviation of the population; NaN for fewer than two numbers."""
        return math.sqrt(self._squares / (self.count - 1)) if self.count > 1 else math.nan

    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the mean (Student's t); NaN for fewer than two numbers."""
        if self.count < 2:
            return math.nan, math.nan
        half = float(student_t.ppf(0.975, self.count - 1)) * self.std / math.sqrt(self.count)
        return self.mean - half, self.mean + half


class Thinned:
    """Some of a stream of images, evenly spread over it, in constant memory.

    Args:
        count: At most so many are kept, and at least half as many where there are enough.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.step = 1
        self.seen = 0
        self.kept: list[Tensor] = []

    def add(self, images: Tensor) -> None:
        """Take up ``(B, ...)``: every ``step``-th is kept, and the step doubles when there are too many."""
        for image in images:
            if self.count and self.seen % self.step == 0:
                if len(self.kept) == self.count:
                    self.kept, self.step = self.kept[::2], 2 * self.step
                if self.seen % self.step == 0:
                    self.kept.append(image.clone())
            self.seen += 1
