"""Distances between predicted and target features."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mmimg2vec.errors import UserError
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class CosineFeatureLoss(nn.Module):
    r"""Mean over features of :math:`1 - \cos(\text{prediction}, \text{target})`, in [0, 2].

    Blind to the scale of both. Source: CAE v2's official code; an option for Img2Vec, whose paper names no loss.
    """

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compare ``(..., C)`` with ``(..., C)`` -> scalar, in float32."""
        return (1 - F.cosine_similarity(prediction.float(), target.float(), dim=-1)).mean()


@MODELS.register_module()
class SmoothL1FeatureLoss(nn.Module):
    """Smooth L1 averaged over features and channels (data2vec, arXiv 2202.03555, section 3.3).

    Args:
        beta: Error at which the square turns into the absolute value, in units of the (normalized) target.

    Raises:
        UserError: ``beta`` is not positive.
    """

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        if beta <= 0:
            raise UserError(f'SmoothL1FeatureLoss: beta={beta} has to be positive; 0 is the L1 loss')
        self.beta = beta

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compare ``(..., C)`` with ``(..., C)`` -> scalar, in float32."""
        return F.smooth_l1_loss(prediction.float(), target.float(), beta=self.beta)


@MODELS.register_module()
class MSEFeatureLoss(nn.Module):
    """Squared error averaged over features and channels, as MAE compares its pixels (arXiv 2111.06377)."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compare ``(..., C)`` with ``(..., C)`` -> scalar, in float32."""
        return F.mse_loss(prediction.float(), target.float())
