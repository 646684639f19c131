"""CLIP's image tokens as the target: what CAE v2 aligns with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmimg2vec.models.target_generators.backbone import BackboneTargetGenerator
from mmimg2vec.registry import MODELS

# Of CLIP's own preprocessing, in gray levels.
CLIP_MEAN = (0.48145466 * 255, 0.4578275 * 255, 0.40821073 * 255)
CLIP_STD = (0.26862954 * 255, 0.26130258 * 255, 0.27577711 * 255)


@MODELS.register_module()
class CLIPTargetGenerator(BackboneTargetGenerator):
    """All tokens of CLIP's image tower, after its last norm and projection (CAE v2, arXiv 2211.09799).

    ``tokens`` are the patches, ``pooled`` is the class token: CLIP's feature of the image. Only the visual half of a
    checkpoint is kept. OpenAI's files, open_clip's and transformers' load, whole or the image half alone.

    Args:
        teacher: Arguments of :class:`CLIPVisionTower` (``arch``, ``patch_size``, ``img_size`` that its position
            embedding is for, ``out_channels``, ``activation``), and ``init_cfg=dict(type='Pretrained',
            checkpoint=..., sha256=...)``; the SHA-256 is verified when given.
        normalization: As :class:`BackboneTargetGenerator`; none by default.
        mean: CLIP's own mean of RGB, in gray levels.
        std: CLIP's own standard deviation, likewise.
        **kwargs: As :class:`BackboneTargetGenerator`: ``input_size``, ``resample``, ``dtype``, ``random_weights``, ...

    Raises:
        UserError: As :class:`BackboneTargetGenerator`, or a checkpoint without a visual tower.
    """

    def __init__(
        self,
        teacher: dict[str, Any],
        normalization: str = 'none',
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
        **kwargs: Any,
    ) -> None:
        teacher = {'type': 'mmimg2vec.CLIPVisionTower', **teacher}
        if teacher.get('init_cfg') is not None:
            # The names in the file are others, so nothing is to be learnt from where the tower's stand.
            teacher['init_cfg'] = {'prefix': '', **teacher['init_cfg']}
        super().__init__(
            teacher,
            normalization=normalization,
            mean=mean,
            std=std,
            **{'fold_batchnorm': False, **kwargs},  # there is no BatchNorm in it
        )
