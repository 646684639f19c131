"""Alignment of predicted with target tokens, the class token among them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmimg2vec.errors import UserError
from mmimg2vec.models.heads.base import TokenHead, mean_cosine
from mmimg2vec.models.utils import gather_tokens
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class TokenAlignmentHead(TokenHead):
    """One mean over class token and patches of the distance to the target (CAE v2, arXiv 2211.09799).

    Args:
        in_channels: Width of the predicted class token; the algorithm fills it in.
        pooled_channels: Width of the target's class token; the algorithm fills it in.
        loss: Config of the loss between tokens; the cosine of the official code by default.
        supervision: ``'all'`` patches are compared, ``'visible'`` ones or ``'masked'`` ones: the paper's question.
        class_token: Whether the class token is compared too, as the official code does.

    Raises:
        UserError: An option that does not exist, a target without a class token, or with one of another width.
    """

    def __init__(
        self,
        in_channels: int,
        pooled_channels: int,
        loss: dict[str, Any] | None = None,
        supervision: str = 'all',
        class_token: bool = True,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(supervision, init_cfg=init_cfg)
        if class_token and not pooled_channels:
            raise UserError(
                'head.class_token=True, but the target generator gives no feature of the whole image; set '
                'head.class_token=False'
            )
        if class_token and in_channels != pooled_channels:
            raise UserError(
                f"the target's class token is {pooled_channels} wide and its patches {in_channels}; set "
                'head.class_token=False'
            )
        self.loss_module = MODELS.build(dict(type='mmimg2vec.CosineFeatureLoss') if loss is None else loss)
        self.class_token = class_token

    def loss(
        self,
        prediction: Tensor,
        positions: Tensor,
        class_token: Tensor,
        target: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """Loss and watched quantities; arguments as :meth:`TokenHead.loss`, the class token the neck's prediction.

        Returns:
            ``loss_token``: the mean over class token and patches; those of :meth:`TokenHead.watched` (of the patches)
            and ``class_cosine`` (of the class token).
        """
        wanted = gather_tokens(target['tokens'], positions)
        watched = self.watched(prediction, wanted)
        if self.class_token:
            with torch.no_grad():
                watched['class_cosine'] = mean_cosine(class_token, target['pooled'])
        if self.class_token:
            prediction = torch.cat((class_token.unsqueeze(1), prediction), dim=1)
            wanted = torch.cat((target['pooled'].unsqueeze(1), wanted), dim=1)
        return {'loss_token': self.loss_module(prediction, wanted), **watched}
