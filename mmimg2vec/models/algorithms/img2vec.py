"""Img2Vec: a masked autoencoder that predicts the features of a light teacher of high token diversity."""

from __future__ import annotations

from torch import Tensor

from mmimg2vec.models.algorithms.base import MaskedImageModel
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class Img2Vec(MaskedImageModel):
    """Img2Vec (arXiv 2304.12535).

    ::

        inputs ─┬─────────────────────► target_generator (frozen) ──────────────► tokens, pooled
                └─ mask ─► backbone ─► fusion ─► norm ─► latents ─► neck ─► prediction ─► head ─► losses
                                                            └──────── class token ────────┘

    The paper has no public code; loss, target normalisation, decoder and schedule are options whose defaults are the
    project's choice.

    Args:
        **kwargs: As :class:`MaskedImageModel`.
    """

    def loss(
        self, inputs: Tensor, mask: Tensor, num_hidden: int, token_rank: Tensor | None
    ) -> dict[str, Tensor]:
        """Losses of a masked batch; arguments as :meth:`MaskedImageModel.forward`."""
        target = self.target_generator(inputs)
        latents = self.encode(inputs, mask, num_hidden)
        positions = self.head.positions(mask, num_hidden, token_rank)
        prediction = self.neck(latents, mask, positions, num_hidden)
        return self.head.loss(prediction, positions, latents[:, 0], target)
