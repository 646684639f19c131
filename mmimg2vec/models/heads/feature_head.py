"""Which features are compared, where, and how."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mmimg2vec.errors import UserError
from mmimg2vec.models.heads.base import TokenHead
from mmimg2vec.models.utils import gather_tokens
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class FeatureHead(TokenHead):
    """Compares predicted with target tokens at chosen patches, and the class token with the image's feature.

    Args:
        in_channels: Width of the class token; the algorithm fills it in.
        pooled_channels: Width of the target of the whole image; the algorithm fills it in.
        loss: Config of the loss between tokens. The default, smooth L1 on layer-normalized targets as data2vec has
            it, is the project's choice: Img2Vec's paper names none.
        supervision: ``'masked'`` patches are compared, ``'visible'`` ones or ``'all'``.
        share: Share of those patches that is predicted and compared, in (0, 1], drawn per image.
        global_weight: Weight of the global term (Img2Vec's global semantic learning): the class token, through a
            linear layer, predicts the teacher's feature of the whole image. 0 switches it off.
        global_loss: Config of its loss; as ``loss`` when None.

    Raises:
        UserError: An option out of its range.
    """

    def __init__(
        self,
        in_channels: int,
        pooled_channels: int,
        loss: dict[str, Any] | None = None,
        supervision: str = 'masked',
        share: float = 1.0,
        global_weight: float = 1.0,
        global_loss: dict[str, Any] | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(supervision, share, init_cfg)
        if global_weight and not pooled_channels:
            raise UserError(
                f'head.global_weight={global_weight}, but the target generator gives no feature of the whole image; '
                'set head.global_weight=0'
            )
        loss = dict(type='mmimg2vec.SmoothL1FeatureLoss') if loss is None else loss
        self.loss_module = MODELS.build(loss)
        self.global_weight = global_weight
        if global_weight:
            self.global_pred = nn.Linear(in_channels, pooled_channels)
            self.global_loss_module = MODELS.build(loss if global_loss is None else global_loss)

    def loss(
        self,
        prediction: Tensor,
        positions: Tensor,
        class_token: Tensor,
        target: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """Losses and watched quantities; arguments as :meth:`TokenHead.loss`, the class token that of the latents.

        Returns:
            ``loss_token``; ``loss_global`` (weighted) unless switched off; those of :meth:`TokenHead.watched`.
        """
        wanted = gather_tokens(target['tokens'], positions)
        losses = {'loss_token': self.loss_module(prediction, wanted)}
        if self.global_weight:
            pooled = self.global_loss_module(self.global_pred(class_token), target['pooled'])
            losses['loss_global'] = self.global_weight * pooled
        return {**losses, **self.watched(prediction, wanted)}
