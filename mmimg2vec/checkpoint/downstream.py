"""The backbone of a file as the ``backbone`` of any OpenMMLab config.

mmdetection, with the detector of a config of yours::

    cfg = Config.fromfile('mask-rcnn.py')
    cfg.model.backbone = backbone_config('backbone.pth', img_size=1024)
    width = cfg.model.backbone.arch.embed_dims
    cfg.model.neck = dict(type='mmimg2vec.SimpleFeaturePyramid', in_channels=width)

mmsegmentation, with a UPerNet of yours::

    cfg = Config.fromfile('upernet.py')
    cfg.model.backbone = backbone_config('backbone.pth', img_size=512, out_indices=(2, 5, 8, 11))
    width = cfg.model.backbone.arch.embed_dims
    cfg.model.neck = dict(type='Feature2Pyramid', embed_dim=width, rescales=[4, 2, 1, 0.5])
    cfg.model.decode_head.in_channels, cfg.model.auxiliary_head.in_channels = [width] * 4, width

timm, after ``export_backbone.py backbone.pth vit.safetensors --to timm`` (here without this package; ``load_timm`` does
the same)::

    kwargs = json.load(open('vit.safetensors.json'))['kwargs']
    model = timm.models.vision_transformer.VisionTransformer(**kwargs)
    model.load_state_dict(safetensors.torch.load_file('vit.safetensors'))
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmimg2vec.checkpoint.backbone_file import PREFIX, read_backbone


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
