"""Attention whose queries and values have a bias and whose keys have none."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class QueryValueBiasLinear(nn.Linear):
    """The Linear that makes queries, keys and values, without a bias of the keys (BEiT, arXiv 2106.08254; CAE v2).

    A bias of the keys adds the same number to all scores of a query, which the softmax takes out again, so that its
    true gradient is zero; rounding leaves a little, which Adam would blow up to full steps. The state is that of a
    plain ``qkv`` Linear, so that it loads into any vision transformer: the keys' third of ``bias`` is zero, and stays
    zero, because the forward pass multiplies it by zero. (A hook on the gradient would be lost in copies and under
    FSDP.)

    Args:
        dims: Width of the tokens.
    """

    has_bias: Tensor

    def __init__(self, dims: int) -> None:
        super().__init__(dims, 3 * dims)
        has_bias = torch.ones(3 * dims)
        has_bias[dims : 2 * dims] = 0
        self.register_buffer('has_bias', has_bias, persistent=False)
        with torch.no_grad():
            self.bias.mul_(has_bias)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``(B, N, C)`` -> ``(B, N, 3 C)``."""
        return F.linear(x, self.weight, self.bias * self.has_bias)
