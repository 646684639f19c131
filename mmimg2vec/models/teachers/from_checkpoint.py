"""The backbone of an earlier run as teacher, described by the file that the run left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mmpretrain.models.backbones as backbones

from mmimg2vec.checkpoint.config_text import read_config_text
from mmimg2vec.checkpoint.safe_load import safe_load
from mmimg2vec.errors import UserError

# Backbones of mmpretrain's pre-training methods: plain vision transformers but for these options.
_PRETRAINING = {'MAEViT': ('mask_ratio',), 'MoCoV3ViT': ('stop_grad_conv1', 'norm_eval')}
_OURS = ('MaskedVisionTransformer', 'ViTDet')
# Parts that a file may name: norms and activations.
_PARTS = ('BN', 'BN2d', 'SyncBN', 'LN', 'LN2d', 'GN', 'ReLU', 'GELU')


def teacher_from_checkpoint(path: str) -> dict[str, Any]:
    """Describe the backbone of a ``backbone.pth``, or of a whole checkpoint of a run.

    The config that the file carries is read as text and nothing of it is executed; of it only a backbone of mmpretrain
    or of this project with plain values is taken, since a ``type`` may name any Python object.

    Args:
        path: The file.

    Returns:
        Arguments of ``BackboneTargetGenerator``: ``teacher`` with its ``init_cfg``, and ``mean`` and ``std`` where the
        file tells them.

    Raises:
        UserError: The file is missing or damaged, or does not tell a backbone that can be taken.
    """
    checkpoint = safe_load(path, 'cpu')
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    text = meta.get('config') or meta.get('cfg')
    model = read_config_text(text).get('model') if isinstance(text, str) else None
    model = model if isinstance(model, dict) else {}
    backbone = model.get('backbone')
    backbone = dict(backbone) if isinstance(backbone, dict) else {}
    cure = "write the teacher out: teacher=dict(type=..., init_cfg=dict(type='Pretrained', checkpoint=...))"
    if not backbone:
        raise UserError(f'{path} does not say what its backbone is; {cure}')
    backbone.pop('init_cfg', None)
    kind = str(backbone.pop('type', '')).split('.')[-1]
    if kind in _PRETRAINING:
        for option in _PRETRAINING[kind]:
            backbone.pop(option, None)
        kind = 'VisionTransformer'
    if kind not in (*backbones.__all__, *_OURS) or _names_programs(backbone):
        raise UserError(f'{path} holds a backbone {kind} with parts that a file may not choose; {cure}')
    scope = 'mmimg2vec' if kind in _OURS else 'mmpretrain'
    init_cfg = dict(type='Pretrained', checkpoint=path, prefix='backbone.')
    result: dict[str, Any] = dict(teacher=dict(type=f'{scope}.{kind}', **backbone, init_cfg=init_cfg))
    settings = model.get('data_preprocessor')
    settings = settings if isinstance(settings, dict) else {}
    for key in ('mean', 'std'):
        values = settings.get(key)
        if isinstance(values, (list, tuple)) and len(values) == 3:
            result[key] = tuple(float(value) for value in values)
    return result


def _names_programs(value: Any) -> bool:
    if isinstance(value, dict):
        named = value.get('type', _PARTS[0]) not in _PARTS
        return named or any(map(_names_programs, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_names_programs, value))
