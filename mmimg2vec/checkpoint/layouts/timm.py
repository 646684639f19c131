"""The same vision transformer in timm's names and arguments."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mmimg2vec.checkpoint.architecture import Architecture, collapse
from mmimg2vec.checkpoint.backbone_file import fill_whole
from mmimg2vec.checkpoint.layouts.base import NOT_OF_BACKBONE, Layout, Network
from mmimg2vec.environment import require
from mmimg2vec.errors import UserError

# mmpretrain's name -> timm's; the rest of a name (``.weight``, ``.bias``) is the same.
_STEM = {
    'cls_token': 'cls_token',
    'pos_embed': 'pos_embed',
    'patch_embed.projection': 'patch_embed.proj',
    'pre_norm': 'norm_pre',
    'ln1': 'norm',
    'ln2': 'fc_norm',
}
_BLOCK = {
    'ln1': 'norm1',
    'ln2': 'norm2',
    'attn.qkv': 'attn.qkv',
    'attn.proj': 'attn.proj',
    'attn.gamma1.weight': 'ls1.gamma',
    'ffn.layers.0.0': 'mlp.fc1',
    'ffn.layers.1': 'mlp.fc2',
    'ffn.gamma2.weight': 'ls2.gamma',
}
# As timm, DINOv2 and DINOv3 name them.
_REGISTERS = ('reg_token', 'register_tokens', 'storage_tokens')
# (width, blocks, heads) -> size in timm's model names.
_SIZES = {
    (192, 12, 3): 'tiny',
    (384, 12, 6): 'small',
    (768, 12, 12): 'base',
    (1024, 24, 16): 'large',
    (1280, 32, 16): 'huge',
}


def to_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename from mmpretrain's ``VisionTransformer`` to timm's.

    Raises:
        UserError: There is a tensor that timm's has no place for.
    """
    return {_rename(name, 'layers', 'blocks', _STEM, _BLOCK): state[name] for name in state}


def from_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename from timm's ``VisionTransformer`` to mmpretrain's; a classifier's head and MAE's decoder are left out.

    Raises:
        UserError: There is a tensor that mmpretrain's has no place for.
    """
    stem = {theirs: ours for ours, theirs in _STEM.items()}
    block = {theirs: ours for ours, theirs in _BLOCK.items()}
    return {
        _rename(name, 'blocks', 'layers', stem, block): tensor
        for name, tensor in state.items()
        if not name.startswith(NOT_OF_BACKBONE)
    }


def timm_kwargs(architecture: Architecture) -> dict[str, Any]:
    """Arguments of timm's ``VisionTransformer``, where they differ from its defaults, and the sizes.

    Raises:
        UserError: timm's has no such variant.
    """
    a = architecture
    if a.eps != 1e-6:
        raise UserError(f"timm's layer norms have eps 1e-6, these {a.eps}: export --to mmpretrain")
    if a.final_norm and a.mean_norm:
        raise UserError(
            'the backbone normalizes its tokens and their mean; timm does one of the two: export --to mmpretrain, or '
            'train with final_norm=False'
        )
    ratio = a.feedforward_channels / a.embed_dims
    if int(a.embed_dims * ratio) != a.feedforward_channels:  # timm truncates
        ratio = math.nextafter(ratio, math.inf)
    kwargs: dict[str, Any] = {
        'img_size': collapse(a.img_size),
        'patch_size': collapse(a.patch_size),
        'in_chans': a.in_channels,
        'num_classes': 0,
        'embed_dim': a.embed_dims,
        'depth': a.num_layers,
        'num_heads': a.num_heads,
        'mlp_ratio': ratio,
    }
    if not a.qkv_bias:
        kwargs['qkv_bias'] = False
    if a.layer_scale:
        kwargs['init_values'] = 1e-5
    if a.pre_norm:
        kwargs['pre_norm'] = True
    if not a.class_token:
        kwargs['class_token'] = False
    if a.mean_norm or not a.class_token:
        kwargs |= {'global_pool': 'avg', 'fc_norm': a.mean_norm}
    if not a.final_norm and not a.mean_norm:
        kwargs['final_norm'] = False
    return kwargs


def mmpretrain_config(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What the tensors do not tell, from the arguments that :func:`timm_kwargs` gave, as mmpretrain's."""
    arch = {'embed_dims': kwargs['embed_dim'], 'num_layers': kwargs['depth'], 'num_heads': kwargs['num_heads']}
    return {'arch': arch, 'img_size': kwargs['img_size']}


def timm_model_name(architecture: Architecture) -> str | None:
    """Name in timm of this very model, such as ``vit_base_patch16_224``, or None."""
    timm = require('timm', "timm's layout")
    kwargs = timm_kwargs(architecture)
    size = _SIZES.get((kwargs['embed_dim'], kwargs['depth'], kwargs['num_heads']))
    named = {'img_size', 'patch_size', 'embed_dim', 'depth', 'num_heads', 'num_classes'}
    others = {key: value for key, value in kwargs.items() if key not in named}
    if size is None or others != {'in_chans': 3, 'mlp_ratio': 4.0}:
        return None
    name = f'vit_{size}_patch{kwargs["patch_size"]}_{kwargs["img_size"]}'
    return name if timm.is_model(name) else None


def hub_files(architecture: Architecture, preprocessing: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The ``config.json`` beside the weights in a folder that ``timm.create_model('local-dir:FOLDER')`` reads.

    Args:
        architecture: Of the network.
        preprocessing: ``mean`` and ``std`` of images from 0 to 1, which ``timm.data.resolve_data_config`` then gives;
            None leaves timm's.
    """
    kwargs = timm_kwargs(architecture)
    height, width = architecture.img_size
    normalization = {key: preprocessing[key] for key in ('mean', 'std') if preprocessing[key]}
    config = {
        # A model that timm knows; the arguments make of it this one.
        'architecture': timm_model_name(architecture) or 'vit_base_patch16_224',
        'num_classes': 0,
        'num_features': kwargs['embed_dim'],
        'model_args': kwargs,
        'pretrained_cfg': {
            'input_size': [architecture.in_channels, height, width],
            'fixed_input_size': True,
            'interpolation': 'bicubic',
            'crop_pct': 0.875,
            'crop_mode': 'center',
            **normalization,
            'num_classes': 0,
            'first_conv': 'patch_embed.proj',
            'classifier': 'head',
        },
    }
    return {'config.json': config}


def build_timm(kwargs: Mapping[str, Any], state: Mapping[str, Tensor], source: str) -> nn.Module:
    """Build timm's ``VisionTransformer`` with these weights and no others, in eval mode.

    Raises:
        UserError: timm is missing, or the weights do not fit.
    """
    timm = require('timm.models.vision_transformer', "timm's layout", 'timm')
    model = timm.VisionTransformer(**kwargs)
    fill_whole(model, state, source)
    return model.eval()


def timm_features(model: Any, images: Tensor) -> Tensor:
    """All tokens after the last block ``(B, L, C)``, or the normalized mean ``(B, C)`` where it has such a norm."""
    tokens = model.forward_features(images)
    if isinstance(model.fc_norm, nn.Identity):
        return tokens
    return model.forward_head(tokens, pre_logits=True)


def _rename(name: str, blocks: str, new_blocks: str, stem: Mapping[str, str], block: Mapping[str, str]) -> str:
    match = re.fullmatch(rf'{blocks}\.(\d+)\.(.+)', name)
    table, start, rest = (block, f'{new_blocks}.{match[1]}.', match[2]) if match else (stem, '', name)
    for old, new in table.items():
        if rest == old or rest.startswith(f'{old}.'):
            return start + new + rest[len(old) :]
    if rest in _REGISTERS:
        raise UserError(
            f'the backbone has register tokens ({name}), for which mmpretrain has no place, so its features would be '
            'others: take the release without registers, or take this one as a teacher (timm:NAME@FILE)'
        )
    raise UserError(
        f'the backbone has {name}, which a plain vision transformer does not: only plain ones can be renamed'
    )


TIMM = Layout(
    'timm',
    to_ours=from_timm,
    to_theirs=to_timm,
    whose='timm',
    network=Network(
        kwargs=timm_kwargs,
        config=mmpretrain_config,
        build=build_timm,
        features=timm_features,
        model_name=timm_model_name,
        any_size=False,
        suffixes=('.pth', '.safetensors'),
        hub_files=hub_files,
    ),
)
