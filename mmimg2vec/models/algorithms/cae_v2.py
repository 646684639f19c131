"""CAE v2: a context autoencoder aligned with CLIP's tokens, visible ones included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmimg2vec.checkpoint.layouts.first_cae import refuse_first_cae
from mmimg2vec.errors import UserError
from mmimg2vec.models.algorithms.base import MaskedImageModel, check_target
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class CAEv2(MaskedImageModel):
    """CAE v2 (arXiv 2211.09799), as the official code computes it.

    ::

        inputs ─┬──────────────► target_generator (frozen CLIP) ──────────────► tokens, class token
                └─ mask ─► backbone ─► norm ─► latents ─► neck ─► prediction ─► head ─► loss
                                                           └─► class token ──────┘

    Where the head compares visible patches only, the regressor of hidden ones is neither run nor trained.

    Args:
        **kwargs: As :class:`MaskedImageModel`; the neck is a ``mmimg2vec.LatentRegressor``, the head a
            ``mmimg2vec.TokenAlignmentHead``.

    Raises:
        UserError: Parts that do not fit one another.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, part, wanted, method in (
            ('neck', self.neck, 'LatentRegressor', 'predict_class'),
            ('head', self.head, 'TokenAlignmentHead', 'class_token'),
        ):
            if not hasattr(part, method):
                raise UserError(f'model.{name} of CAEv2 is a {type(part).__name__}; it has to be a mmimg2vec.{wanted}')
        if not self.backbone.with_cls_token:
            raise UserError('CAEv2 aligns the class token: leave model.backbone.with_cls_token at True')
        widths = self.head.pooled_channels, self.neck.out_channels
        if self.head.class_token and widths[0] != widths[1]:
            raise UserError(
                f"the target's class token is {widths[0]} wide and its patches {widths[1]}; set head.class_token=False"
            )
        self.regresses = self.head.supervision != 'visible'
        if not self.regresses:
            self.neck.freeze_regressor()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        _refuse_other_names(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def compare(
        self,
        latents: Tensor,
        target: dict[str, Tensor],
        mask: Tensor,
        num_masked: int,
        token_rank: Tensor | None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Predict patches and class token, and compare; as :meth:`MaskedImageModel.compare`."""
        check_target(target, mask)
        positions = self.head.positions(mask, num_masked, token_rank)
        prediction = self.neck(latents, mask, positions, num_masked, self.regresses)
        class_token = self.neck.predict_class(latents)
        return prediction, self.head.loss(prediction, positions, class_token, target)


def _refuse_other_names(state: dict[str, Any], prefix: str) -> None:
    """Refuse checkpoints whose names are others: mmengine would go on with a warning, from random weights.

    Raises:
        UserError: They are others; names the cure.
    """
    # The authors keep the weights under `model`, which mmengine does not know.
    inner = state.get(f'{prefix}model')
    state = inner if isinstance(inner, Mapping) else state
    names = [str(name).removeprefix(prefix) for name in state]
    refuse_first_cae(names)
    if 'encoder.cls_token' in names:
        raise UserError(
            "this is a checkpoint in the names of CAE v2's authors: convert it with tools/model_converters/cae_v2.py IN "
            'OUT --to mmimg2vec, and name OUT'
        )
