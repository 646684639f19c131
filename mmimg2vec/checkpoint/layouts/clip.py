"""The names in which CLIP's image tower is released, and ours: pure functions on names of weights.

timm converts OpenAI's names too, in a function that is not public, one way only and not those of transformers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mmimg2vec.checkpoint.layouts.base import Layout
from mmimg2vec.errors import UserError

_OPENAI_PATCHES = 'visual.conv1.weight'
_TRANSFORMERS_PATCHES = 'vision_model.embeddings.patch_embedding.weight'
# Names of OpenAI's release, as open_clip writes them too, and those of the tower here.
_OPENAI = {
    'class_embedding': 'cls_token',
    'positional_embedding': 'pos_embed',
    'conv1.weight': 'patch_embed.projection.weight',
    'ln_pre': 'pre_norm',
    'ln_post': 'ln1',
    'proj': 'proj.weight',
}
_OPENAI_BLOCK = {
    'ln_1': 'ln1',
    'attn.in_proj_': 'attn.qkv.',
    'attn.out_proj': 'attn.proj',
    'ln_2': 'ln2',
    'mlp.c_fc': 'ffn.layers.0.0',
    'mlp.c_proj': 'ffn.layers.1',
}
# Names of transformers, and those of OpenAI. (The misspelt norm is transformers' own.)
_TRANSFORMERS = {
    'embeddings.class_embedding': 'class_embedding',
    'embeddings.position_embedding.weight': 'positional_embedding',
    'embeddings.patch_embedding.weight': 'conv1.weight',
    'pre_layrnorm': 'ln_pre',
    'post_layernorm': 'ln_post',
}
_TRANSFORMERS_BLOCK = {
    'layer_norm1': 'ln_1',
    'self_attn.out_proj': 'attn.out_proj',
    'layer_norm2': 'ln_2',
    'mlp.fc1': 'mlp.c_fc',
    'mlp.fc2': 'mlp.c_proj',
}


def image_tower(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Pick the image tower out of a CLIP checkpoint; the text tower and everything else is dropped.

    Args:
        weights: Name -> tensor in the layout of OpenAI and open_clip (``visual.*``) or of transformers
            (``vision_model.*``, ``visual_projection``), under whatever prefix.

    Returns:
        Name -> tensor of ``mmimg2vec.CLIPVisionTower``.

    Raises:
        UserError: There is no image tower in it, or not that of CLIP's plain vision transformer.
    """
    for probe, convert in (
        (_OPENAI_PATCHES, _from_openai),
        (_TRANSFORMERS_PATCHES, _from_transformers),
    ):
        for name in weights:
            if f'.{name}'.endswith(f'.{probe}'):
                return convert(weights, name[: len(name) - len(probe)])
    # The state of OpenAI's `model.visual` alone.
    for name in weights:
        prefix = name.removesuffix('class_embedding')
        if prefix != name and f'{prefix}conv1.weight' in weights:
            return _rename(_below(weights, prefix))
    raise UserError(
        f'it has no visual tower: it holds neither {_OPENAI_PATCHES} nor {_TRANSFORMERS_PATCHES} (but e.g. '
        f'{min(weights)}); name a CLIP checkpoint with a vision transformer, whole or its image half'
    )


def to_openai(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name the weights of a tower as OpenAI's release does; the inverse of :func:`image_tower`.

    Args:
        state: Name -> tensor of ``mmimg2vec.CLIPVisionTower``.

    Returns:
        Name -> tensor, ``visual.*``.
    """
    renamed = {}
    for name, tensor in state.items():
        block = re.fullmatch(r'layers\.(\d+)\.(.+)', name)
        table, inner = (_OPENAI, name) if block is None else (_OPENAI_BLOCK, block[2])
        new = _replace_start(inner, {ours: theirs for theirs, ours in table.items()})
        if new == 'class_embedding':
            tensor = tensor.flatten()
        elif new == 'positional_embedding':
            tensor = tensor.squeeze(0)
        elif new == 'proj':
            tensor = tensor.T.contiguous()
        prefix = '' if block is None else f'transformer.resblocks.{block[1]}.'
        renamed[f'visual.{prefix}{new}'] = tensor
    return renamed


def _from_openai(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return _rename(_below(weights, f'{prefix}visual.'))


def _from_transformers(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    tower = _below(weights, f'{prefix}vision_model.')
    tower.pop('embeddings.position_ids', None)  # of old versions: 0, 1, 2, ...
    renamed = {}
    for name, tensor in tower.items():
        block = re.fullmatch(r'encoder\.layers\.(\d+)\.(.+)', name)
        if block is None:
            renamed[_replace_start(name, _TRANSFORMERS)] = tensor
        elif (part := re.fullmatch(r'self_attn\.q_proj\.(weight|bias)', block[2])) is not None:
            names = [name.replace('.q_proj.', f'.{x}_proj.') for x in 'qkv']
            if all(name in tower for name in names):  # else the entry is missing, which will be said
                joined = f'transformer.resblocks.{block[1]}.attn.in_proj_{part[1]}'
                renamed[joined] = torch.cat([tower[name] for name in names])
        elif re.fullmatch(r'self_attn\.[kv]_proj\.(weight|bias)', block[2]) is None:
            inner = _replace_start(block[2], _TRANSFORMERS_BLOCK)
            renamed[f'transformer.resblocks.{block[1]}.{inner}'] = tensor
    projection = weights.get(f'{prefix}visual_projection.weight')
    if projection is not None:
        renamed['proj'] = projection.T
    return _rename(renamed)


def _rename(tower: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """From OpenAI's names, without their prefix, to those of ``mmimg2vec.CLIPVisionTower``.

    Raises:
        UserError: The tower has a tensor that none of ours corresponds to.
    """
    renamed = {}
    for name, tensor in tower.items():
        block = re.fullmatch(r'transformer\.resblocks\.(\d+)\.(.+)', name)
        table, inner = (_OPENAI, name) if block is None else (_OPENAI_BLOCK, block[2])
        new = _replace_start(inner, table)
        if new == inner:
            raise UserError(
                f"its visual tower is not CLIP's plain vision transformer: it has {name}; name a ViT such as ViT-B-16"
            )
        if new in ('cls_token', 'pos_embed'):
            tensor = tensor.reshape(1, -1, tensor.shape[-1])
        elif new == 'proj.weight':
            tensor = tensor.T  # OpenAI multiplies from the right
        renamed[new if block is None else f'layers.{block[1]}.{new}'] = tensor
    if 'proj.weight' not in renamed:
        raise UserError(
            'its visual tower has no projection into the shared space; name a checkpoint with one (that of '
            'CLIPModel or CLIPVisionModelWithProjection in transformers)'
        )
    return renamed


def _below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: x for name, x in weights.items() if name.startswith(prefix)}


def _replace_start(name: str, table: Mapping[str, str]) -> str:
    """Replace the start of a name, up to a dot (or where the table's entry ends in a dot or an underscore)."""
    for old, new in table.items():
        if name == old or name.startswith(old if old.endswith(('.', '_')) else f'{old}.'):
            return new + name[len(old) :]
    return name


CLIP = Layout('clip', to_ours=image_tower, to_theirs=to_openai, whose='openai')
