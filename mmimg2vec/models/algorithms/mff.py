"""MFF: a masked autoencoder of pixels whose decoder reads several blocks of the encoder."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmimg2vec.checkpoint.layouts.mff import to_mmimg2vec
from mmimg2vec.errors import UserError
from mmimg2vec.models.algorithms.masked_image_model import MaskedImageModel
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class MFF(MaskedImageModel):
    """MFF (arXiv 2308.00261); with ``fusion=None`` it is MAE (arXiv 2111.06377).

    ::

        inputs ─┬─────────────────────► target_generator ──────────────────────► normalized pixels
                └─ mask ─► backbone ─► fusion ─► norm ─► latents ─► neck ─► prediction ─► head ─► loss

    With the parts of the shipped configs it computes what ``mmpretrain.MFF`` does, on the masks of the data pipeline:
    its decoder is behind ``SelfAttentionDecoder``, its targets behind ``PixelTargetGenerator``, its loss is the
    head's. Features of whole images are unfused (mmpretrain's own ``MFFViT`` masks and fuses them too); fused ones
    come from :meth:`MaskedImageModel.extract_fused_feat`. Checkpoints of ``mmpretrain.MFF`` and ``mmpretrain.MAE``
    load as they are.

    Args:
        target_generator: Config of what gives the targets; normalized pixels by default.
        **kwargs: As :class:`MaskedImageModel`.
    """

    def __init__(self, target_generator: dict[str, Any] | None = None, **kwargs: Any) -> None:
        target_generator = target_generator or dict(type='mmimg2vec.PixelTargetGenerator')
        super().__init__(target_generator=target_generator, **kwargs)
        self._register_load_state_dict_pre_hook(self._take_mmpretrain_names)

    def _take_mmpretrain_names(self, state: dict[str, Tensor], prefix: str, *args: Any) -> None:
        own = {key[len(prefix) :]: state.pop(key) for key in list(state) if key.startswith(prefix)}
        state.update({prefix + key: value for key, value in to_mmimg2vec(own).items()})
        shares = state.get(f'{prefix}fusion.proj_weights')
        if self.fusion is None or shares is None or len(shares) == len(self.fusion.blocks):
            return
        # mmengine would go on with a warning, and with a fusion that is not the checkpoint's.
        raise UserError(
            f'the checkpoint fuses {len(shares)} blocks and model.fusion.blocks={self.fusion.blocks} are '
            f'{len(self.fusion.blocks)}: name the blocks that it was trained with'
        )
