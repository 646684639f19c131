"""The heads of pre-training: where prediction and target are compared, and how."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmimg2vec.errors import UserError
from mmimg2vec.models.utils import SUPERVISIONS, TokenMask, gather_tokens, repeat_images, token_diversity
from mmimg2vec.registry import MODELS


class TokenHead(BaseModule):
    """Base of what compares predicted with target tokens.

    Args:
        in_channels: Width of the class token; the algorithm fills it in.
        pooled_channels: Width of the target of the whole image, 0 where there is none; the algorithm fills it in.
        loss: Config of the loss between tokens; None is the head's ``default_loss``.
        supervision: ``'masked'`` patches are compared, ``'visible'`` ones or ``'all'``.
        share: Share of those patches that is predicted and compared, in (0, 1], drawn per image.
        init_cfg: As mmengine's.

    Attributes:
        default_loss: Type of the loss where the config names none.
        watching: Whether the quantities to watch are computed too; ``mmimg2vec.LoggedStepsHook`` leaves them out in the
            steps that are not logged.

    Raises:
        UserError: An option out of its range.
    """

    watching = True
    default_loss = 'mmimg2vec.SmoothL1FeatureLoss'

    def __init__(
        self,
        in_channels: int,
        pooled_channels: int,
        loss: dict[str, Any] | None = None,
        supervision: str = 'masked',
        share: float = 1.0,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if supervision not in SUPERVISIONS:
            raise UserError(f'head.supervision={supervision!r}: choose one of {", ".join(map(repr, SUPERVISIONS))}')
        if not 0 < share <= 1:
            raise UserError(f'head.share={share} is out of range: it has to be in (0, 1]')
        self.in_channels = in_channels
        self.pooled_channels = pooled_channels
        self.supervision = supervision
        self.share = share
        self.loss_cfg = dict(type=self.default_loss) if loss is None else loss
        self.loss_module = MODELS.build(self.loss_cfg)

    def positions(self, mask: TokenMask) -> Tensor:
        """Patches to predict and compare, ``(B, P)`` raster indices; see :meth:`TokenMask.compared`."""
        return mask.compared(self.supervision, self.share)

    def candidates(self, mask: TokenMask) -> Tensor:
        """All patches of the kind that is compared, ``(B, P)`` raster indices: those that a picture shows."""
        return mask.compared(self.supervision)

    @abstractmethod
    def loss(
        self, prediction: Tensor, positions: Tensor, class_token: Tensor, target: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Losses, and quantities to watch (no ``loss`` in their name, so that mmengine does not add them).

        Args:
            prediction: ``(B, P, C)`` predicted tokens.
            positions: ``(B, P)`` their patches.
            class_token: ``(B, in_channels)`` of the latents, or the neck's prediction of the target's.
            target: ``tokens`` ``(N, L, C)`` and ``pooled`` ``(N, C)`` of the target generator, for N images with
                B / N masks each.

        Returns:
            One entry per term of the loss, and those of :meth:`watched`.
        """

    @torch.no_grad()
    def position_loss(self, target: dict[str, Tensor]) -> Tensor:
        """Loss of the best prediction that knows the position alone: what learning nothing of the images looks like.

        Args:
            target: As for :meth:`loss`, of two images or more. The prediction for one is made of the others.
        """
        return least_constant_loss(self.loss_module, target['tokens'])

    @torch.no_grad()
    def watched(self, prediction: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        """Quantities to watch of predictions and targets ``(B, P, C)``.

        Returns:
            ``target_diversity``, ``prediction_diversity`` and ``prediction_cosine`` (mean cosine of the two); nothing
            where ``watching`` is off.
        """
        if not self.watching:
            return {}
        return {
            'target_diversity': token_diversity(wanted).mean(),
            'prediction_diversity': token_diversity(prediction).mean(),
            'prediction_cosine': mean_cosine(prediction, wanted),
        }


def mean_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean cosine of ``(..., C)`` and ``(..., C)``, in float32."""
    return F.cosine_similarity(prediction.float(), target.float(), dim=-1).mean()


def least_constant_loss(loss: nn.Module, wanted: Tensor) -> Tensor:
    """Loss of predicting for each image the mean over the others, ``(N, ..., C)``.

    Of the mean and the mean direction, which is best for a cosine, the one that the loss likes more.
    """
    wanted = wanted.float()
    sources = (wanted, F.normalize(wanted, dim=-1))
    means = [(source.sum(dim=0, keepdim=True) - source) / (len(source) - 1) for source in sources]
    return torch.stack([loss(mean, wanted) for mean in means]).min()


@MODELS.register_module()
class FeatureHead(TokenHead):
    """Compares predicted with target tokens at chosen patches, and the class token with the image's feature.

    The default loss, smooth L1 on layer-normalized targets as data2vec has it, is the project's choice: Img2Vec's paper
    names none.

    Args:
        in_channels: As :class:`TokenHead`.
        pooled_channels: Likewise.
        global_weight: Weight of the global term (Img2Vec's global semantic learning): the class token, through a
            linear layer, predicts the teacher's feature of the whole image. 0 switches it off.
        global_loss: Config of its loss; as ``loss`` when None.
        **kwargs: As :class:`TokenHead`: ``loss``, ``supervision``, ``share``.

    Raises:
        UserError: An option out of its range.
    """

    def __init__(
        self,
        in_channels: int,
        pooled_channels: int,
        global_weight: float = 1.0,
        global_loss: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, pooled_channels, **kwargs)
        if global_weight and not pooled_channels:
            raise UserError(
                f'head.global_weight={global_weight}, but the target generator gives no feature of the whole image; '
                'set head.global_weight=0'
            )
        self.global_weight = global_weight
        if global_weight:
            self.global_pred = nn.Linear(in_channels, pooled_channels)
            self.global_loss_module = MODELS.build(self.loss_cfg if global_loss is None else global_loss)

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
            wanted_class = repeat_images(target['pooled'], len(class_token))
            pooled = self.global_loss_module(self.global_pred(class_token), wanted_class)
            losses['loss_global'] = self.global_weight * pooled
        return {**losses, **self.watched(prediction, wanted)}

    @torch.no_grad()
    def position_loss(self, target: dict[str, Tensor]) -> Tensor:
        """The same with the weighted loss of the best constant for the image's feature."""
        loss = super().position_loss(target)
        if self.global_weight:
            loss = loss + self.global_weight * least_constant_loss(self.global_loss_module, target['pooled'])
        return loss


@MODELS.register_module()
class TokenAlignmentHead(TokenHead):
    """One mean over class token and patches of the distance to the target (CAE v2, arXiv 2211.09799).

    The default loss is the cosine of the official code.

    Args:
        in_channels: As :class:`TokenHead`; here the width of the predicted class token.
        pooled_channels: Likewise.
        class_token: Whether the class token is compared too, as the official code does.
        supervision: ``'all'`` patches are compared, ``'visible'`` ones or ``'masked'`` ones: the paper's question.
        **kwargs: As :class:`TokenHead`: ``loss``, ``share``.

    Raises:
        UserError: An option that does not exist, a target without a class token, or with one of another width.
    """

    default_loss = 'mmimg2vec.CosineFeatureLoss'

    def __init__(
        self,
        in_channels: int,
        pooled_channels: int,
        class_token: bool = True,
        supervision: str = 'all',
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, pooled_channels, supervision=supervision, **kwargs)
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
            wanted_class = repeat_images(target['pooled'], len(class_token))
            if self.watching:
                with torch.no_grad():
                    watched['class_cosine'] = mean_cosine(class_token, wanted_class)
            prediction = torch.cat((class_token.unsqueeze(1), prediction), dim=1)
            wanted = torch.cat((wanted_class.unsqueeze(1), wanted), dim=1)
        return {'loss_token': self.loss_module(prediction, wanted), **watched}

    @torch.no_grad()
    def position_loss(self, target: dict[str, Tensor]) -> Tensor:
        """The same, the class token being one more position."""
        tokens = target['tokens']
        if self.class_token:
            tokens = torch.cat((target['pooled'].unsqueeze(1), tokens), dim=1)
        return least_constant_loss(self.loss_module, tokens)
