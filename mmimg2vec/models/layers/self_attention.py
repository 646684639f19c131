"""Self-attention whose backward pass moves less memory."""

from __future__ import annotations

from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor, nn


class SplitAttention(MultiheadAttention):
    """``mmpretrain.MultiheadAttention``, value for value, with queries, keys and values taken apart in one piece.

    The parent indexes them out of one tensor three times, so that its backward pass fills three tensors of zeros, each
    as large as all of them, and adds them: about a tenth of a step on the CPU.
    """

    @classmethod
    def take_over(cls, blocks: nn.ModuleList) -> None:
        """Turn the attention of transformer blocks into this one, in place: parameters and their names stay."""
        for block in blocks:
            # The parent's class has the same attributes; building another would draw other initial weights.
            block.attn.__class__ = cls

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``(B, N, C)`` -> ``(B, N, C)``."""
        # (B, N, 3 C) -> three of (B, heads, N, C / heads)
        parts = self.qkv(x).unflatten(2, (3, self.num_heads, self.head_dims)).unbind(dim=2)
        query, key, value = (part.transpose(1, 2) for part in parts)
        dropout = self.attn_drop if self.training else 0.0
        read = self.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        out = self.out_drop(self.gamma1(self.proj_drop(self.proj(read.transpose(1, 2).flatten(2)))))
        return value.squeeze(1) + out if self.v_shortcut else out
