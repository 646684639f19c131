"""Any vision model of transformers as teacher."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmimg2vec.environment import require
from mmimg2vec.errors import UserError
from mmimg2vec.models.teachers.base import IMAGENET_MEAN, IMAGENET_STD, Features, Teacher, from_map, from_tokens
from mmimg2vec.registry import MODELS

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
# Parameters that are one token in front of the patches, or several.
_EXTRA_TOKENS = ('cls_token', 'class_embedding', 'distillation_token', 'register_tokens')
_STRIDES = tuple(2**k for k in range(6))


@MODELS.register_module()
class TransformersTeacher(Teacher):
    """A vision model of transformers as ``teacher`` of a target generator: its ``last_hidden_state`` on a grid.

    Of a model for images and texts (CLIP, SigLIP) the image tower alone is built. Of CLIP, ``last_hidden_state`` is the
    output of the last block, *before* the final LayerNorm and the projection into the space shared with texts. CAE v2's
    target is behind both: ``CLIPTargetGenerator`` gives that one. Class and register tokens and the
    stride come from the network, normalization from the folder's ``preprocessor_config.json``. The weights come from
    ``init_cfg`` of the teacher (``FOLDER/model.safetensors``), through the project's loader; no code of the folder is
    run and nothing is downloaded.

    Args:
        folder: Folder with a ``config.json``, as ``save_pretrained`` and the hub lay it out.
        config: The config itself, in place of a folder: ``model_type`` (``'vit'``, ``'clip_vision_model'``,
            ``'dinov2_with_registers'``, ...) and what differs from its defaults.
        mean: Of RGB, in gray levels 0 to 255; None takes the folder's, else CLIP's for CLIP and ImageNet's for others.
        std: Likewise.

    Raises:
        UserError: transformers is missing, or knows no such model; a folder without ``config.json``.
    """

    def __init__(
        self,
        folder: str | None = None,
        config: dict[str, Any] | None = None,
        mean: tuple[float, float, float] | None = None,
        std: tuple[float, float, float] | None = None,
    ) -> None:
        super().__init__()
        if (folder is None) == (config is None):
            raise UserError(
                "mmimg2vec.TransformersTeacher needs either folder='...' with a config.json or "
                'config=dict(model_type=...)'
            )
        settings = _read_json(Path(folder, 'config.json')) if folder is not None else dict(config or {})
        self.network = _build(settings)
        built = self.network.config
        self.name = f'TransformersTeacher {built.model_type}'
        self.mean, self.std, self.known_from = _normalization(folder, built.model_type)
        if (mean is None) != (std is None):
            raise UserError('mmimg2vec.TransformersTeacher: give mean and std together')
        if mean is not None and std is not None:
            self.mean, self.std, self.known_from = tuple(mean), tuple(std), 'the config'
        names = dict(self.network.named_parameters())
        extra = {key: value for key, value in names.items() if key.split('.')[-1] in _EXTRA_TOKENS}
        # (C,), (1, 1, C) or (1, N, C)
        self.num_extra_tokens = sum(v.shape[-2] if v.ndim > 1 else 1 for v in extra.values())
        self.class_token = any(key.endswith(_EXTRA_TOKENS[:2]) for key in extra)
        self.patch = _pair(getattr(built, 'patch_size', None))
        # Pyramids (Swin) reduce further, at each of their stages.
        self.token_stride = self.patch if getattr(built, 'depths', None) is None else None
        self.native_size = _pair(getattr(built, 'image_size', None))
        self.arguments = set(inspect.signature(self.network.forward).parameters)

    def forward(self, images: Tensor) -> Features:
        """Features of ``(B, 3, H, W)`` images, normalized as the model wants them."""
        size = (images.shape[2], images.shape[3])
        kwargs: dict[str, Any] = {}
        if 'interpolate_pos_encoding' in self.arguments and size != self.native_size:
            kwargs['interpolate_pos_encoding'] = True
        if 'noise' in self.arguments and self.patch is not None:
            # MAE shuffles its patches by this noise, also when it masks none: rising noise leaves their order.
            count = (size[0] // self.patch[0]) * (size[1] // self.patch[1])
            order = torch.arange(count, device=images.device, dtype=torch.float32)
            kwargs['noise'] = order.expand(len(images), -1)
        output = self.network(pixel_values=images, **kwargs).last_hidden_state
        if output.ndim == 4:
            return from_map(output)
        return from_tokens(
            output,
            self.num_extra_tokens,
            self.token_stride or self._pyramid_stride(output.shape[1], size),
            size,
            self.class_token,
            f'the transformers model {self.network.config.model_type}',
        )

    def _pyramid_stride(self, tokens: int, size: tuple[int, int]) -> tuple[int, int]:
        patch = self.patch or (1, 1)
        for factor in _STRIDES:
            stride = (patch[0] * factor, patch[1] * factor)
            if (size[0] // stride[0]) * (size[1] // stride[1]) == tokens - self.num_extra_tokens:
                return stride
        return patch


def _build(settings: dict[str, Any]) -> nn.Module:
    transformers = require('transformers', 'The teacher mmimg2vec.TransformersTeacher')
    kind = settings.pop('model_type', None)
    if kind not in transformers.CONFIG_MAPPING:
        raise UserError(
            f'the teacher of mmimg2vec.TransformersTeacher has model_type={kind!r}, which transformers '
            f'{transformers.__version__} does not have'
        )
    settings.pop('auto_map', None)  # would name code in the folder
    config = transformers.CONFIG_MAPPING[kind](**settings)
    config = getattr(config, 'vision_config', config)
    if getattr(config, 'mask_ratio', None) is not None:
        config.mask_ratio = 0.0  # MAE: the teacher sees whole images
    try:
        # A pooler is no part of many releases, and no part of the features.
        return transformers.AutoModel.from_config(config, add_pooling_layer=False)
    except TypeError:
        return transformers.AutoModel.from_config(config)


def _normalization(folder: str | None, kind: str) -> tuple[tuple, tuple, str]:
    file = Path(folder or '', 'preprocessor_config.json')
    if folder is not None and file.is_file():
        settings = _read_json(file)
        if settings.get('image_mean') and settings.get('image_std'):
            return _gray(settings['image_mean']), _gray(settings['image_std']), str(file)
    if 'clip' in kind:
        return _gray(_CLIP_MEAN), _gray(_CLIP_STD), 'CLIP'
    return (
        IMAGENET_MEAN,
        IMAGENET_STD,
        'ImageNet, as nothing says otherwise: mean and std of the teacher change it',
    )


def _gray(values: Any) -> tuple[float, ...]:
    return tuple(255 * value for value in values)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise UserError(
            f'{path} cannot be read ({error}): name a folder as save_pretrained of transformers writes it'
        ) from error


def _pair(value: Any) -> tuple[int, int] | None:
    if value is None or isinstance(value, int):
        return None if value is None else (value, value)
    return tuple(value) if len(value) == 2 else None
