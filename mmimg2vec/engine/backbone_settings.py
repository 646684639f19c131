"""What a downstream config takes from the file that its backbone starts from: one config serves many backbones."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmpretrain.models.backbones import VisionTransformer

from mmimg2vec.checkpoint.architecture import collapse
from mmimg2vec.checkpoint.backbone_file import read_backbone
from mmimg2vec.checkpoint.config_text import read_config_text
from mmimg2vec.checkpoint.newest import newest_checkpoint
from mmimg2vec.checkpoint.positions import file_grid
from mmimg2vec.checkpoint.safe_load import safe_load
from mmimg2vec.errors import UserError

# Transforms that cut an image into the student's patches.
_MASKS = ('RandomTokenMask', 'BlockTokenMask')
_KINDS = ('VisionTransformer', 'FrozenVisionTransformer', 'RelativePositionVisionTransformer', 'ViTDet')
_ARCH = ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')
# Of the whole architecture these stay the config's: they are of its images and of what it does with the tokens.
_OF_THE_TASK = ('img_size', 'out_type', 'interpolate_mode')


def take_backbone_settings(cfg: Config) -> None:
    """Let the file that a vision transformer starts from say what of the backbone is the file's.

    A config that trains knows its width and depth, for its recipe depends on them; the number of attention heads and
    whether there is LayerScale are the file's, and so is the grid of the position embedding where the network keeps it
    (``pos_embed_size`` of ViTDet). Where nothing is trained (``knn``) the whole architecture is. What was
    changed is said in one line. The file is ``load_from``, else the backbone's ``init_cfg``; one that is not on this
    machine's disk changes nothing, but to a run that goes on: its own checkpoint tells then.

    Args:
        cfg: The config of a run, changed in place.

    Raises:
        UserError: The file of a ``knn`` config holds no plain vision transformer, or does not tell its heads.
    """
    model = cfg.get('model') or {}
    backbone = model.get('module', model).get('backbone') or {}
    if str(backbone.get('type')).split('.')[-1] not in _KINDS:
        return
    path = cfg.get('load_from') or (backbone.get('init_cfg') or {}).get('checkpoint')
    if cfg.get('resume') and not os.path.isfile(str(path)):  # gone since the run began; its checkpoints say the same
        path = newest_checkpoint(cfg.work_dir)
    if not os.path.isfile(str(path)):
        return
    own = _arch(backbone.get('arch', 'base'))
    found = _whole(str(path), own) if 'knn' in cfg else _heads_and_scales(str(path), own, backbone)
    changed = {key: value for key, value in found.items() if value != _own(backbone, key, own)}
    if not changed:
        return
    for key, value in changed.items():
        # Item by item: a dict would be merged into the one that is there.
        backbone[key] = value
    if is_main_process():
        print(f'mmimg2vec: note: as {path} has it: model.backbone {_text(changed)}', file=sys.stderr)


def take_released_backbone(cfg: Config) -> None:
    """Let a run that goes on from a backbone have the network of its file, as student and as teacher.

    Such a run is one whose student and teacher start from the same file: a released backbone that is continued on other
    images. Width, depth, heads, patch size, LayerScale and norms become the file's; the masks are cut into its patches;
    the position embedding is trained on, as it was. What was changed is said in one line.

    Args:
        cfg: The config of a run, changed in place.

    Raises:
        UserError: The file is no plain vision transformer, does not say its heads, or its patches do not divide the
            images.
    """
    model = cfg.get('model') or {}
    backbone, generator = model.get('backbone') or {}, model.get('target_generator') or {}
    teacher = generator.get('teacher')
    path = (backbone.get('init_cfg') or {}).get('checkpoint')
    same = isinstance(teacher, Mapping) and (teacher.get('init_cfg') or {}).get('checkpoint') == path
    if path is None or not same:
        return
    if not os.path.isfile(path):
        raise UserError(
            f'no backbone {path} to continue: convert a release with tools/model_converters/export_backbone.py, or '
            'name the backbone.pth of a run, by the environment variable IMG2VEC_BACKBONE'
        )
    found = read_backbone(path).architecture.mmpretrain_kwargs()
    for key in _OF_THE_TASK:
        found.pop(key)
    if found.pop('final_norm') is False or not found['with_cls_token']:
        raise UserError(f'{path} has no class token or no final norm: its tokens are not those of a pre-training')
    patch = found['patch_size']
    if not isinstance(patch, int) or backbone['img_size'] % patch:
        raise UserError(
            f'{path} has patches of {patch} px, which do not divide the images of {backbone["img_size"]} px: set '
            'model.backbone.img_size and the scale of RandomResizedCrop to a multiple'
        )
    for key, value in found.items():
        backbone[key] = value
    backbone['pos_embed'] = 'learned'
    generator['teacher'] = path
    for transform in _transforms(cfg.train_dataloader.dataset):
        if str(transform.get('type')).split('.')[-1] in _MASKS:
            transform['patch_size'] = patch
    if is_main_process():
        print(f'mmimg2vec: note: student and teacher are the network of {path}: {_text(found)}', file=sys.stderr)


def _transforms(dataset: Mapping[str, Any]) -> list[dict[str, Any]]:
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    return dataset.get('pipeline', [])


def _own(backbone: Mapping[str, Any], key: str, arch: Mapping[str, int]) -> Any:
    defaults = {'qkv_bias': True, 'final_norm': True, 'with_cls_token': True, 'pre_norm': False, 'in_channels': 3}
    if key == 'arch':
        return {name: arch[name] for name in _ARCH}
    if key == 'layer_scale_init_value':  # the number is overwritten by the weights
        return 1e-5 if backbone.get(key) else 0.0
    if key == 'norm_cfg':
        return {'type': 'LN', 'eps': 1e-6, **(backbone.get(key) or {})}
    return backbone.get(key, defaults.get(key))


def _arch(arch: str | Mapping[str, int]) -> Mapping[str, int]:
    return VisionTransformer.arch_zoo.get(arch.lower(), {}) if isinstance(arch, str) else arch


def _whole(path: str, own: Mapping[str, int]) -> dict[str, Any]:
    described = _config(safe_load(path, 'cpu'))
    architecture = read_backbone(path, num_heads=None if described else own['num_heads']).architecture
    if not described and architecture.embed_dims != own['embed_dims']:
        raise UserError(
            f'{path} carries no config that tells the number of attention heads, and is {architecture.embed_dims} '
            f'wide, not {own["embed_dims"]}: add --cfg-options model.backbone.arch=NAME with the name of its size '
            '(deit-small, ...)'
        )
    return {key: value for key, value in architecture.mmpretrain_kwargs().items() if key not in _OF_THE_TASK}


def _heads_and_scales(path: str, own: Mapping[str, int], backbone: Mapping[str, Any]) -> dict[str, Any]:
    checkpoint = safe_load(path, 'cpu')
    checkpoint = checkpoint if isinstance(checkpoint, Mapping) else {}
    weights = checkpoint.get('state_dict', checkpoint)
    blocks = [name for name in weights if name.removeprefix('backbone.').startswith('layers.0.attn.')]
    if not blocks:
        return {}  # another naming, or no vision transformer: what fills the network says so
    scaled = any('attn.gamma1.' in name for name in blocks)
    found: dict[str, Any] = {'layer_scale_init_value': 1e-5 if scaled else 0.0}
    grid = file_grid(checkpoint)
    if grid is not None and backbone.get('pos_embed_size') is not None:
        patch = backbone.get('patch_size', 16)
        found['pos_embed_size'] = collapse((grid[0] * patch, grid[1] * patch))
    theirs = _arch(_config(checkpoint).get('arch', own))
    if all(theirs.get(name) == own.get(name) for name in ('embed_dims', 'num_layers', 'feedforward_channels')):
        found['arch'] = {name: theirs[name] for name in _ARCH}
    return found


def _config(checkpoint: Any) -> dict[str, Any]:
    """The backbone's part of the config that a checkpoint carries; empty where it has none."""
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    text = meta.get('config') or meta.get('cfg')
    model = read_config_text(text).get('model') if isinstance(text, str) else None
    backbone = (model if isinstance(model, dict) else {}).get('backbone')
    return backbone if isinstance(backbone, dict) else {}


def _text(changed: Mapping[str, Any]) -> str:
    values = {key: 'as in the file' if key == 'norm_cfg' else value for key, value in changed.items()}
    return ', '.join(f'{key}={value}' for key, value in values.items())
