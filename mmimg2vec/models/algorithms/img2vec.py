"""Img2Vec: a masked autoencoder that predicts the features of a light teacher of high token diversity."""

from __future__ import annotations

from mmimg2vec.models.algorithms.base import MaskedImageModel
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class Img2Vec(MaskedImageModel):
    """Img2Vec (arXiv 2304.12535).

    ::

        inputs ─┬─────────────────────► target_generator (frozen) ──────────────► tokens, pooled
                └─ mask ─► backbone ─► fusion ─► norm ─► latents ─► neck ─► prediction ─► head ─► losses
                                                            └──────── class token ────────┘

    The paper has no public code; loss, target normalization, decoder and schedule are options whose defaults are the
    project's choice.

    Args:
        **kwargs: As :class:`MaskedImageModel`.
    """
