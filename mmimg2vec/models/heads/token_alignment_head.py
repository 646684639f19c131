"""Alignment of predicted with target tokens, the class token among them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from mmimg2vec.errors import UserError
from mmimg2vec.models.utils import SUPERVISIONS, compared_positions, gather_tokens, token_diversity
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class TokenAlignmentHead(BaseModule):
    """One mean over class token and patches of the distance to the target (CAE v2, arXiv 2211.09799).

    Args:
        in_channels: Not used; the algorithm fills it in.
        pooled_channels: Width of the target's class token; the algorithm fills it in.
        loss: Config of the loss between tokens; the cosine of the official code by default.
        supervision: ``'all'`` patches are compared, ``'visible'`` ones or ``'masked'`` ones: the paper's question.
        class_token: Whether the class token is compared too, as the official code does.

    Raises:
        UserError: An option that does not exist, or a target without a class token.
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
        super().__init__(init_cfg=init_cfg)
        if supervision not in SUPERVISIONS:
            raise UserError(f'head.supervision={supervision!r}: choose one of {", ".join(map(repr, SUPERVISIONS))}')
        if class_token and not pooled_channels:
            raise UserError(
                'head.class_token=True, but the target generator gives no feature of the whole image; set '
                'head.class_token=False'
            )
        self.loss_module = MODELS.build(dict(type='mmimg2vec.CosineFeatureLoss') if loss is None else loss)
        self.pooled_channels = pooled_channels
        self.supervision = supervision
        self.class_token = class_token

    def positions(self, mask: Tensor, num_masked: int, token_rank: Tensor | None = None) -> Tensor:
        """Patches to predict ``(B, P)``; see :func:`~mmimg2vec.models.utils.compared_positions`."""
        return compared_positions(mask, num_masked, self.supervision)

    def loss(
        self,
        prediction: Tensor,
        positions: Tensor,
        class_token: Tensor | None,
        target: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """Loss, and quantities to watch (no ``loss`` in their name, so that mmengine does not add them).

        Args:
            prediction: ``(B, P, C)`` predicted tokens.
            positions: ``(B, P)`` their patches.
            class_token: ``(B, C)`` predicted class token; not used where it is not compared.
            target: ``tokens`` ``(B, L, C)`` and ``pooled`` ``(B, C)``, its class token, of the target generator.

        Returns:
            ``loss_token``: the mean over class token and patches; ``target_diversity``, ``prediction_diversity`` (of
            the patches), ``prediction_cosine`` (mean cosine of prediction and target, of the patches) and
            ``class_cosine`` (of the class token).
        """
        wanted = gather_tokens(target['tokens'], positions)
        watched = {}
        with torch.no_grad():
            watched['target_diversity'] = token_diversity(wanted).mean()
            watched['prediction_diversity'] = token_diversity(prediction).mean()
            watched['prediction_cosine'] = _cosine(prediction, wanted)
            if self.class_token:
                watched['class_cosine'] = _cosine(class_token, target['pooled'])
        if self.class_token:
            prediction = torch.cat((class_token.unsqueeze(1), prediction), dim=1)
            wanted = torch.cat((target['pooled'].unsqueeze(1), wanted), dim=1)
        return {'loss_token': self.loss_module(prediction, wanted), **watched}


def _cosine(prediction: Tensor, target: Tensor) -> Tensor:
    return F.cosine_similarity(prediction.float(), target.float(), dim=-1).mean()
