"""The same vision transformer as transformers' ``ViTModel`` names it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmimg2vec.checkpoint.architecture import Architecture
from mmimg2vec.checkpoint.backbone_file import fill_whole
from mmimg2vec.checkpoint.layouts.base import NOT_OF_BACKBONE, Layout, Network
from mmimg2vec.environment import require
from mmimg2vec.errors import UserError

# mmpretrain's name -> transformers'; the rest of a name (``.weight``, ``.bias``) is the same.
_STEM = {
    'cls_token': 'embeddings.cls_token',
    'pos_embed': 'embeddings.position_embeddings',
    'patch_embed.projection': 'embeddings.patch_embeddings.projection',
    'ln1': 'layernorm',
}
_BLOCK = {
    'ln1': 'layernorm_before',
    'ln2': 'layernorm_after',
    'attn.proj': 'attention.output.dense',
    'ffn.layers.0.0': 'intermediate.dense',
    'ffn.layers.1': 'output.dense',
}
_QKV = ('query', 'key', 'value')
_PURPOSE = "transformers' layout"


def to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename from mmpretrain's ``VisionTransformer`` to ``ViTModel``'s; queries, keys and values are taken apart.

    Raises:
        UserError: There is a tensor that ``ViTModel`` has no place for.
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        match = re.fullmatch(r'layers\.(\d+)\.attn\.qkv\.(weight|bias)', name)
        if match is None:
            renamed[_rename(name, r'layers\.', 'encoder.layer.', _STEM, _BLOCK)] = tensor
            continue
        for part, piece in zip(_QKV, tensor.chunk(3), strict=True):
            renamed[f'encoder.layer.{match[1]}.attention.attention.{part}.{match[2]}'] = piece
    return renamed


def from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename from ``ViTModel`` to mmpretrain's ``VisionTransformer``; its pooler is left out.

    Raises:
        UserError: There is a tensor that mmpretrain's has no place for.
    """
    stem = {theirs: ours for ours, theirs in _STEM.items()}
    block = {theirs: ours for ours, theirs in _BLOCK.items()}
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        match = re.fullmatch(r'encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(weight|bias)', name)
        if name.startswith((*NOT_OF_BACKBONE, 'pooler.')) or (match is not None and match[2] != 'query'):
            continue
        if match is None:
            renamed[_rename(name, r'encoder\.layer\.', 'layers.', stem, block)] = tensor
            continue
        parts = [state[name.replace('.query.', f'.{part}.')] for part in _QKV]
        renamed[f'layers.{match[1]}.attn.qkv.{match[3]}'] = torch.cat(parts)
    return renamed


def vit_kwargs(architecture: Architecture) -> dict[str, Any]:
    """Arguments of ``ViTConfig``.

    Raises:
        UserError: ``ViTModel`` has no such variant.
    """
    a = architecture
    lacking = {
        'LayerScale': a.layer_scale,
        'a norm before the first block': a.pre_norm,
        'a norm of the mean': a.mean_norm,
        'a network without a class token': not a.class_token,
        'a network without a final norm': not a.final_norm,
    }
    for what, there in lacking.items():
        if there:
            raise UserError(f"transformers' ViTModel does not know {what}: export --to timm or --to mmpretrain")
    return {
        'hidden_size': a.embed_dims,
        'num_hidden_layers': a.num_layers,
        'num_attention_heads': a.num_heads,
        'intermediate_size': a.feedforward_channels,
        'image_size': list(a.img_size),
        'patch_size': list(a.patch_size),
        'num_channels': a.in_channels,
        'qkv_bias': a.qkv_bias,
        'layer_norm_eps': a.eps,
    }


def build_vit_model(kwargs: Mapping[str, Any], state: Mapping[str, Tensor], source: str) -> nn.Module:
    """Build ``ViTModel`` without its pooler, with these weights and no others, in eval mode.

    Raises:
        UserError: transformers is missing, or the weights do not fit.
    """
    transformers = require('transformers', _PURPOSE)
    model = transformers.ViTModel(transformers.ViTConfig(**kwargs), add_pooling_layer=False)
    fill_whole(model, state, source)
    return model.eval()


def hub_files(architecture: Architecture, preprocessing: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What stands beside the weights in a folder that ``from_pretrained`` reads.

    Args:
        architecture: Of the network.
        preprocessing: ``mean`` and ``std`` of images from 0 to 1, or None.
    """
    transformers = require('transformers', _PURPOSE)
    config = transformers.ViTConfig(**vit_kwargs(architecture), architectures=['ViTModel']).to_dict()
    files: dict[str, dict[str, Any]] = {'config.json': config}
    if preprocessing['mean'] and preprocessing['std']:
        height, width = architecture.img_size
        files['preprocessor_config.json'] = {
            'image_processor_type': 'ViTImageProcessor',
            'do_resize': True,
            'size': {'height': height, 'width': width},
            'resample': 3,  # Pillow's number of bicubic
            'do_rescale': True,
            'rescale_factor': 1 / 255,
            'do_normalize': True,
            'image_mean': preprocessing['mean'],
            'image_std': preprocessing['std'],
        }
    return files


def _mmpretrain_config(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    arch = {
        'embed_dims': kwargs['hidden_size'],
        'num_layers': kwargs['num_hidden_layers'],
        'num_heads': kwargs['num_attention_heads'],
    }
    return {'arch': arch, 'img_size': kwargs['image_size'], 'norm_cfg': {'eps': kwargs['layer_norm_eps']}}


def _features(model: Any, images: Tensor) -> Tensor:
    return model(images).last_hidden_state


def _rename(name: str, blocks: str, new_blocks: str, stem: Mapping[str, str], block: Mapping[str, str]) -> str:
    match = re.fullmatch(rf'{blocks}(\d+)\.(.+)', name)
    table, start, rest = (block, f'{new_blocks}{match[1]}.', match[2]) if match else (stem, '', name)
    for old, new in table.items():
        if rest == old or rest.startswith(f'{old}.'):
            return start + new + rest[len(old) :]
    raise UserError(f'the backbone has {name}, for which there is no place on the other side of {_PURPOSE}')


TRANSFORMERS = Layout(
    'transformers',
    to_ours=from_transformers,
    to_theirs=to_transformers,
    whose='transformers',
    network=Network(
        kwargs=vit_kwargs,
        config=_mmpretrain_config,
        build=build_vit_model,
        features=_features,
        model_name=lambda architecture: None,
        any_size=False,
        suffixes=('.safetensors', '.pth'),
        hub_files=hub_files,
    ),
)
