"""What a ``backbone.pth`` says of itself: config, architecture, preprocessing; and as the backbone of any config.

mmdetection, with the detector of a config of yours::

    cfg = Config.fromfile('mask-rcnn.py')
    cfg.model.backbone = backbone_config('backbone.pth', img_size=1024)
    width = cfg.model.backbone.arch.embed_dims
    cfg.model.neck = dict(type='mmimg2vec.SimpleFeaturePyramid', in_channels=width)
    cfg.optim_wrapper = dict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
        constructor='mmimg2vec.LayerDecayOptimWrapperConstructor',
        paramwise_cfg=dict(layer_decay_rate=0.7, norm_decay_mult=0.0, custom_keys={'pos_embed': dict(decay_mult=0.0)}),
    )
    cfg.custom_hooks = [dict(type='mmimg2vec.InitCoverageHook')]
    cfg.custom_imports = dict(imports=['mmimg2vec'])

mmsegmentation, with a UPerNet of yours::

    cfg = Config.fromfile('upernet.py')
    cfg.model.pretrained = None
    cfg.model.backbone = backbone_config('backbone.pth', img_size=512, out_indices=(2, 5, 8, 11))
    width = cfg.model.backbone.arch.embed_dims
    cfg.model.neck = dict(type='Feature2Pyramid', embed_dim=width, rescales=[4, 2, 1, 0.5])
    cfg.model.decode_head.in_channels, cfg.model.auxiliary_head.in_channels = [width] * 4, width
    cfg.optim_wrapper = dict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
        constructor='mmimg2vec.LayerDecayOptimWrapperConstructor',
        paramwise_cfg=dict(layer_decay_rate=0.7, norm_decay_mult=0.0, custom_keys={'pos_embed': dict(decay_mult=0.0)}),
    )
    cfg.custom_hooks = [dict(type='mmimg2vec.InitCoverageHook')]
    cfg.custom_imports = dict(imports=['mmimg2vec'])

timm, after ``export_backbone.py backbone.pth vit.safetensors --to timm`` (here without this package; ``load_exported``
does the same)::

    kwargs = json.load(open('vit.safetensors.json'))['kwargs']
    model = timm.models.vision_transformer.VisionTransformer(**kwargs)
    model.load_state_dict(safetensors.torch.load_file('vit.safetensors'))

The config that a file carries is text of whoever wrote it. It is read, not executed, and :func:`described_backbone` is
the one place that decides what of it is taken.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mmpretrain.models.backbones as backbones
from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor, nn

from mmimg2vec.checkpoint.architecture import Architecture, read_architecture
from mmimg2vec.checkpoint.config_text import checkpoint_config
from mmimg2vec.checkpoint.fill import fill
from mmimg2vec.checkpoint.safe_load import safe_load
from mmimg2vec.errors import UserError

PREFIX = 'backbone.'
# Backbones of mmpretrain's pre-training methods: plain vision transformers but for these options.
_PRETRAINING = {'MAEViT': ('mask_ratio',), 'MoCoV3ViT': ('stop_grad_conv1', 'norm_eval')}
# Those of this project: vision transformers with these options beside.
_OURS = {
    'MaskedVisionTransformer': ('pos_embed', 'key_bias'),
    'FrozenVisionTransformer': (),
    'ViTDet': ('window_size', 'global_blocks', 'rel_pos', 'with_cp'),
}
# Parts that a file may name under a key such as ``type`` or ``conv_type``: norms, activations, convolutions.
_PARTS = ('BN', 'BN2d', 'SyncBN', 'LN', 'LN2d', 'GN', 'ReLU', 'GELU', 'Conv2d')


@dataclass(frozen=True)
class Description:
    """What a file says of its backbone.

    Attributes:
        kind: Name of its class, without a scope; empty where the file does not tell.
        arguments: Of that class; numbers, words and containers of them.
        mean: Of an image's channels, in gray levels; None where the file does not tell.
        std: Likewise.
        rgb: Whether the network expects RGB rather than BGR; None where the file does not tell.
    """

    kind: str
    arguments: Mapping[str, Any]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    rgb: bool | None

    @property
    def scope(self) -> str:
        """Where the class is registered."""
        return 'mmimg2vec' if self.kind in _OURS else 'mmpretrain'

    @property
    def preprocessing(self) -> dict[str, Any]:
        """``mean`` and ``std`` of an image with values from 0 to 1, and the expected ``channel_order``; or None."""
        scaled = [None if values is None else [round(x / 255, 6) for x in values] for values in (self.mean, self.std)]
        return {'mean': scaled[0], 'std': scaled[1], 'channel_order': 'RGB' if self.rgb else None}


def described_backbone(checkpoint: Any, source: str) -> Description:
    """Read what a checkpoint says of its backbone; nothing that could run code is taken.

    Of the config text that is a backbone of mmpretrain or of this project, its own arguments by name, and in them
    numbers, words and containers. Names with a dot (which mmengine would import), paths and addresses are refused, and
    a ``type`` inside (``norm_cfg``, or ``conv_type`` of ``patch_cfg``) has to be a known norm, activation or
    convolution.

    Args:
        checkpoint: What the file holds.
        source: What to call it in errors.

    Raises:
        UserError: It names another class or argument, or a value that a file may not choose.
    """
    config = checkpoint_config(checkpoint)
    model = config.get('model')
    model = model if isinstance(model, dict) else {}
    backbone = model.get('backbone')
    backbone = dict(backbone) if isinstance(backbone, dict) else {}
    backbone.pop('init_cfg', None)
    kind = str(backbone.pop('type', '')).split('.')[-1]
    if kind in _PRETRAINING:
        backbone = {key: value for key, value in backbone.items() if key not in _PRETRAINING[kind]}
        kind = 'VisionTransformer'
    known = _arguments(kind) if kind else set(inspect.signature(VisionTransformer).parameters)
    cure = "write the backbone out in your config: dict(type=..., init_cfg=dict(type='Pretrained', checkpoint=...))"
    for key, value in backbone.items():
        if key not in known or not _is_harmless(value):
            raise UserError(
                f'{source} holds a backbone {kind or "without a type"} with {key}={value!r}, which a file may not '
                f'choose; {cure}'
            )
    if kind and not known:
        raise UserError(f'{source} holds a backbone {kind}, which is none of mmpretrain or this project; {cure}')
    settings = model.get('data_preprocessor') or config.get('data_preprocessor')
    settings = settings if isinstance(settings, dict) else {}
    return Description(
        kind=kind,
        arguments=backbone,
        mean=_numbers(settings.get('mean')),
        std=_numbers(settings.get('std')),
        rgb=True if settings.get('to_rgb') or settings.get('bgr_to_rgb') else None,
    )


@dataclass(frozen=True)
class Backbone:
    """A plain vision transformer that was read from a file.

    Attributes:
        state: Name in mmpretrain's ``VisionTransformer`` -> tensor.
        architecture: Its shape.
        description: What the file says of it.
        meta: The ``meta`` of the file: of its run.
    """

    state: Mapping[str, Tensor]
    architecture: Architecture
    description: Description
    meta: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> VisionTransformer:
        """Build the network from the config that it was trained with, filled, in eval mode.

        Raises:
            UserError: The tensors do not fill it.
        """
        kwargs = self.architecture.mmpretrain_kwargs()
        known = set(inspect.signature(VisionTransformer).parameters) - {'out_type', 'out_indices'}
        kwargs |= {key: value for key, value in self.description.arguments.items() if key in known}
        return build_vit(kwargs, self.state)


def build_vit(kwargs: Mapping[str, Any], state: Mapping[str, Tensor], source: str = 'the file') -> VisionTransformer:
    """Build mmpretrain's ``VisionTransformer`` with these weights and no others, in eval mode.

    Raises:
        UserError: The arguments or the weights do not fit.
    """
    try:
        model = VisionTransformer(**kwargs)
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        reason = ' '.join(str(error).split())[:300]
        raise UserError(f'{source} does not describe a plain vision transformer: {reason}') from error
    fill_whole(model, state, source)
    model.eval()
    return model


def fill_whole(model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Fill a vision transformer with these weights and no others.

    Raises:
        UserError: They do not fit.
    """
    cure = 'only plain vision transformers can be taken elsewhere'
    fill(model, state, prefix='', allow_unused=(), name=source, where='a plain vision transformer', cure=cure)


def vit_features(model: VisionTransformer, images: Tensor) -> Tensor:
    """All tokens after the last block ``(B, L, C)``, or the normalized mean ``(B, C)``."""
    return VisionTransformer.forward(model, images)[-1]


def read_backbone(path: str | Path, arch: str | None = None, num_heads: int | None = None) -> Backbone:
    """Read the backbone of a ``backbone.pth``, of a whole training checkpoint, or of bare weights.

    Args:
        path: The file. Nothing in it is executed.
        arch: mmpretrain's name of the architecture, where the file carries no config.
        num_heads: The number of attention heads, where the file carries no config.

    Raises:
        UserError: The file is missing or damaged, or holds no backbone that is a plain vision transformer.
    """
    checkpoint = safe_load(str(path), 'cpu')
    description = described_backbone(checkpoint, str(path))
    state = _state(checkpoint, str(path))
    config = {**description.arguments, **({'type': description.kind} if description.kind else {})}
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    return Backbone(state, read_architecture(state, config, str(path), arch, num_heads), description, meta)


def load_backbone(path: str | Path) -> VisionTransformer:
    """Build the network of a ``backbone.pth``, with its weights, in eval mode.

    ``model(images)[0]`` are the tokens ``(B, 1 + L, C)``, the class token first, of images ``(B, 3, H, W)`` with the
    mean and standard deviation of ``model.preprocessing``. Images of any size will do: the position embeddings are
    resized.

    Args:
        path: ``backbone.pth`` of a run, or one of its checkpoints.

    Returns:
        mmpretrain's network. Its attribute ``preprocessing`` has ``mean`` and ``std`` for values from 0 to 1, and
        ``channel_order``; None where the file does not tell.

    Raises:
        UserError: The file is missing or damaged, or holds no plain vision transformer.
    """
    found = read_backbone(path)
    model = found.build()
    model.preprocessing = found.description.preprocessing
    return model


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


def _state(checkpoint: Any, path: str) -> dict[str, Tensor]:
    tensors = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, Mapping) else {}
    tensors = tensors if isinstance(tensors, Mapping) else {}
    tensors = {name: value for name, value in tensors.items() if isinstance(value, Tensor)}
    state = {name[len(PREFIX) :]: value for name, value in tensors.items() if name.startswith(PREFIX)}
    if not state and 'patch_embed.projection.weight' in tensors:
        return tensors  # bare weights, without a prefix
    if not state:
        found = f'e.g. {min(tensors)}' if tensors else 'no tensors'
        raise UserError(
            f'{path} has no backbone: no tensor is named {PREFIX}... ({found}); name the backbone.pth or a checkpoint '
            'of a run'
        )
    return state


def _arguments(kind: str) -> set[str]:
    """Names of the arguments of a backbone and of its parents; empty where there is no such backbone."""
    if kind not in (*backbones.__all__, *_OURS):
        return set()
    parent = VisionTransformer if kind in _OURS else getattr(backbones, kind)
    inherited = {name for base in parent.__mro__ for name in inspect.signature(base.__init__).parameters}
    return (inherited | set(_OURS.get(kind, ()))) - {'self', 'args', 'kwargs', 'init_cfg'}


def _is_harmless(value: Any, key: str = '') -> bool:
    if key.endswith('type'):
        return value in _PARTS
    if isinstance(value, dict):
        return 'init_cfg' not in value and all(_is_harmless(item, str(name)) for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_harmless, value))
    return value is None or isinstance(value, (bool, int, float)) or bool(re.fullmatch(r'[\w-]+', str(value)))


def _numbers(values: Any) -> tuple[float, ...] | None:
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, (int, float)) for value in values):
        return None
    return tuple(float(value) for value in values)
