"""CAE v2: a context autoencoder aligned with CLIP's tokens, visible ones included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from mmimg2vec.checkpoint.layouts.first_cae import refuse_first_cae
from mmimg2vec.errors import UserError
from mmimg2vec.models.algorithms.masked_image_model import MaskedImageModel
from mmimg2vec.models.heads.token_heads import TokenAlignmentHead
from mmimg2vec.models.necks.latent_regressor import LatentRegressor, draw_embedding
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class CAEv2(MaskedImageModel):
    """CAE v2 (arXiv 2211.09799), as the official code computes it.

    ::

        inputs ─┬──────────────► target_generator (frozen CLIP) ──────────────► tokens, class token
                └─ mask ─► backbone ─► norm ─► latents ─► neck ─► prediction ─► head ─► loss
                                                           └─► class token ──────┘

    Where the head compares visible patches only, the regressor of masked ones is neither run nor trained.

    Initialization is the official code's: patch embedding, class token and mask token are normal with deviation 0.02,
    cut at one deviation (0.0108 is left of it), the bias of the patch embedding zero, linear layers Xavier.

    Args:
        **kwargs: As :class:`MaskedImageModel`; the neck is a ``mmimg2vec.LatentRegressor``, the head a
            ``mmimg2vec.TokenAlignmentHead``.

    Raises:
        UserError: Parts that do not fit one another.
    """

    neck_kind = LatentRegressor
    head_kind = TokenAlignmentHead

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not self.backbone.with_cls_token:
            raise UserError('CAEv2 aligns the class token: leave model.backbone.with_cls_token at True')
        if self.head.supervision == 'visible':
            self.neck.predict_visible_only()

    def init_weights(self) -> None:
        """Initialize as the official code does; a backbone that ``init_cfg`` fills from a file stays as it is."""
        super().init_weights()
        if self.backbone.starts_from_file:
            return
        projection = self.backbone.patch_embed.projection
        draw_embedding(projection.weight)
        if projection.bias is not None:
            nn.init.zeros_(projection.bias)
        draw_embedding(self.backbone.cls_token)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        _refuse_other_names(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _refuse_other_names(state: dict[str, Any], prefix: str) -> None:
    """Refuse checkpoints whose names are others: mmengine would go on with a warning, from random weights.

    Raises:
        UserError: They are others; names the cure.
    """
    # The authors keep the weights under `model`, which mmengine does not know.
    inner = state.get(f'{prefix}model')
    names = [str(name).removeprefix(prefix) for name in (inner if isinstance(inner, Mapping) else state)]
    refuse_first_cae(names)
    if 'encoder.cls_token' in names:
        raise UserError(
            "this is a checkpoint in the names of CAE v2's authors: convert it with tools/model_converters/cae_v2.py "
            'IN OUT --to mmimg2vec, and name OUT'
        )
