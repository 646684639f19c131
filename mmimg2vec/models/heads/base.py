"""The contract of the heads of pre-training: where prediction and target are compared, and how."""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from mmimg2vec.errors import UserError
from mmimg2vec.models.utils import SUPERVISIONS, TokenMask, token_diversity


class TokenHead(BaseModule):
    """Base of what compares predicted with target tokens.

    Args:
        supervision: ``'masked'`` patches are compared, ``'visible'`` ones or ``'all'``.
        share: Share of those patches that is predicted and compared, in (0, 1], drawn per image.
        init_cfg: As mmengine's.

    Raises:
        UserError: An option out of its range.
    """

    def __init__(self, supervision: str, share: float = 1.0, init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        if supervision not in SUPERVISIONS:
            raise UserError(f'head.supervision={supervision!r}: choose one of {", ".join(map(repr, SUPERVISIONS))}')
        if not 0 < share <= 1:
            raise UserError(f'head.share={share} is out of range: it has to be in (0, 1]')
        self.supervision = supervision
        self.share = share

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
            target: ``tokens`` ``(B, L, C)`` and ``pooled`` ``(B, C)`` of the target generator.

        Returns:
            One entry per term of the loss, and those of :meth:`watched`.
        """

    @staticmethod
    @torch.no_grad()
    def watched(prediction: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        """Quantities to watch of predictions and targets ``(B, P, C)``.

        Returns:
            ``target_diversity``, ``prediction_diversity`` and ``prediction_cosine`` (mean cosine of the two).
        """
        return {
            'target_diversity': token_diversity(wanted).mean(),
            'prediction_diversity': token_diversity(prediction).mean(),
            'prediction_cosine': mean_cosine(prediction, wanted),
        }


def mean_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean cosine of ``(..., C)`` and ``(..., C)``, in float32."""
    return F.cosine_similarity(prediction.float(), target.float(), dim=-1).mean()
