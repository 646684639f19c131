"""The backbone of a file as the ``backbone`` of any OpenMMLab config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmimg2vec.export.checkpoint import PREFIX, read_backbone


def backbone_config(path: str | Path, **kwargs: Any) -> dict[str, Any]:
    """Describe the backbone of a ``backbone.pth`` for mmpretrain, mmdet or mmseg, to start from its weights.

    Args:
        path: ``backbone.pth`` of a run, or one of its checkpoints.
        **kwargs: Further arguments of ``mmpretrain.VisionTransformer``, or others than those of pre-training:
            ``img_size``, ``out_indices``, ``drop_path_rate``, ... The output is a map of patches
            (``out_type='featmap'``) unless they say otherwise.

    Returns:
        A config of ``mmpretrain.VisionTransformer``; its position embeddings are resized when they are loaded.

    Raises:
        UserError: The file holds no plain vision transformer.
    """
    config = read_backbone(path).architecture.mmpretrain_kwargs()
    return {
        'type': 'mmpretrain.VisionTransformer',
        **config,
        'out_type': 'featmap',
        'init_cfg': {'type': 'Pretrained', 'checkpoint': str(path), 'prefix': PREFIX},
        **kwargs,
    }
