"""Attentive probing: what a learned query reads from the tokens of a frozen backbone."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn

from mmimg2vec.models.layers.cross_attention import CrossAttention
from mmimg2vec.models.utils import check_heads
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class AttentivePooling(BaseModule):
    """One cross-attention of a learned query with all tokens of an image, then a batch norm without weights of its own.

    ::

        tokens (B, 1 + L, C) ─► keys, values ─┐
        query_token (1, 1, C) ────────────────┴─► attention (B, 1, C) ─► bn (B, C) ─► linear classifier (the head)

    Source: attentive probing of the first CAE (arXiv 2202.03026) as its official code computes it, the class token
    among the keys. CAE v2's authors released none, so taking it over is the project's choice; so is the query's first
    value (the official code's zero gives the weights of queries and keys no gradient in the first step).

    Args:
        in_channels: Width of the tokens.
        num_heads: Attention heads, as many as the backbone has.
        class_token: Whether the class token, the first one, is read too; False leaves the patches.

    Raises:
        UserError: The width does not divide into the heads.
    """

    def __init__(
        self,
        in_channels: int,
        num_heads: int = 12,
        class_token: bool = True,
        init_cfg: dict | list | None = None,
    ) -> None:
        if init_cfg is None:
            init_cfg = dict(type='TruncNormal', layer='Linear', std=0.02)
        super().__init__(init_cfg=init_cfg)
        check_heads(in_channels, num_heads)
        self.class_token = class_token
        self.query_token = nn.Parameter(torch.zeros(1, 1, in_channels))
        self.attention = CrossAttention(in_channels, num_heads)
        self.bn = nn.BatchNorm1d(in_channels, affine=False)  # eps 1e-5, as in the official code

    def init_weights(self) -> None:
        """Initialize the query as a token, the linear layers by ``init_cfg``."""
        super().init_weights()
        trunc_normal_(self.query_token, std=0.02)

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor]:
        """Pool the last of the backbone's outputs, all its tokens (``out_type='raw'``).

        Args:
            feats: Tokens ``(B, 1 + L, C)``, class token first.

        Returns:
            One tensor ``(B, C)``.
        """
        tokens = feats[-1] if self.class_token else feats[-1][:, 1:]
        query = self.query_token.expand(len(tokens), -1, -1)
        return (self.bn(self.attention.attend(query, tokens, tokens)[:, 0]),)
