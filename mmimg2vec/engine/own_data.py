"""What the templates for one's own labels (``configs/own_labels``) take from the data and from the backbone's file.

A template names folders alone. The class names are those of the folders or of the annotation file, the numbers of
classes of all heads follow from them, and width, depth and recipe from the backbone's file (the project's choice).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmpretrain.models.backbones import VisionTransformer

from mmimg2vec.checkpoint.backbone_file import read_backbone
from mmimg2vec.datasets.annotations import coco_categories, has_polygons, is_class_head
from mmimg2vec.datasets.config_checks import datasets_in
from mmimg2vec.datasets.folders import check_data_paths
from mmimg2vec.errors import UserError

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
# Largest width of a size; a wider backbone is of the last one.
_SIZES = {'small': 384, 'base': 768, 'large': 1024}
# Of the file's architecture these stay the config's: they are of its images and of what it does with the tokens.
_OF_THE_TASK = ('img_size', 'out_type', 'interpolate_mode', 'final_norm')
# Windows have no place for a class token, and patches are resized to the network's own.
_OF_WINDOWS = ('with_cls_token', 'patch_size')
_MAPS_OPENED = 32


def take_own_data(cfg: Config) -> None:
    """Write out a template: classes, heads, width and recipe. A config without ``own_data`` stays as it is.

    ``own_data`` has ``classes`` (a list, a text with commas, or None or ``'unnamed'``: those of the data),
    ``checkpoint`` (the file that tells the architecture where nothing is loaded), ``arch`` (mmpretrain's name, for a
    file that does not tell its number of heads) and ``sizes`` (``small``, ``base`` or ``large`` -> the options of its
    recipe). It is taken out, so that the config that a run leaves is an ordinary one.

    Args:
        cfg: The config of a run, changed in place.

    Raises:
        UserError: Data are missing or do not tell their classes, or the file is no plain vision transformer.
    """
    own = cfg.pop('own_data', None)
    if own is None:
        return
    notes = _take_backbone(cfg, own)
    dataset, where = next(datasets_in(cfg.train_dataloader.dataset, 'train_dataloader.dataset'))
    check_data_paths(dataset, where)
    classes = own.get('classes')
    if classes in (None, 'unnamed'):
        classes = _found_classes(dataset)
    classes = [name.strip() for name in classes.split(',')] if isinstance(classes, str) else list(classes)
    _set_classes(cfg, classes)
    notes.append(f'{len(classes)} classes ({", ".join(classes[:8])}{", ..." if classes[8:] else ""})')
    if dataset['type'].endswith('CocoDataset') and not has_polygons(_ann_file(dataset)):
        _leave_masks_out(cfg)
        notes.append('the annotations are boxes without outlines, so no masks are predicted')
    if is_main_process():
        print(f'mmimg2vec: note: {"; ".join(notes)}', file=sys.stderr)


def _found_classes(dataset: Mapping[str, Any]) -> list[str]:
    kind = dataset['type'].split('.')[-1]
    if kind == 'CocoDataset':
        return list(coco_categories(_ann_file(dataset)).values())
    if kind == 'BaseSegDataset':
        folder = Path(dataset['data_root'], dataset['data_prefix']['seg_map_path'])
        maps = sorted(folder.rglob(f'*{dataset.get("seg_map_suffix", ".png")}'))[:_MAPS_OPENED]
        values = sorted({int(value) for path in maps for value in np.unique(mmcv.imread(str(path), 'unchanged'))})
        shown = ', '.join(map(str, values[:12])) + (', ...' if values[12:] else '')
        raise UserError(
            f'maps do not tell their classes (the first ones of {folder} hold the values {shown or "of no file"}; 255 '
            'is ignored): name them in the order of the values, --cfg-options "own_data.classes=[ground,road]"'
        )
    folder = Path(dataset['data_root'], dataset.get('data_prefix') or '')
    found = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith('.'))
    if len(found) < 2:
        raise UserError(f'{folder} holds {len(found)} folders: it has to hold a folder of images per class, at least 2')
    return found


def _ann_file(dataset: Mapping[str, Any]) -> str:
    return os.path.join(dataset['data_root'], dataset['ann_file'])


def _set_classes(cfg: Config, classes: Sequence[str]) -> None:
    """The same classes everywhere: datasets, heads, mixed labels; top-5 only where there are as many."""
    for loader in _LOADERS:
        for dataset, _ in datasets_in(cfg[loader].dataset, loader):
            dataset['metainfo'] = {'classes': tuple(classes)}
    for name, part in _dicts(cfg.model):
        if (is_class_head(name) or name == 'data_preprocessor') and 'num_classes' in part:
            part['num_classes'] = len(classes)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        if 'topk' in evaluator:
            evaluator['topk'] = tuple(k for k in evaluator['topk'] if k < max(len(classes), 2)) or (1,)


def _leave_masks_out(cfg: Config) -> None:
    cfg.model.roi_head.update(mask_head=None, mask_roi_extractor=None)
    for loader in _LOADERS:
        for dataset, _ in datasets_in(cfg[loader].dataset, loader):
            for transform in dataset['pipeline']:
                if 'with_mask' in transform:
                    transform['with_mask'] = False
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator['metric'] = ['bbox']


def _take_backbone(cfg: Config, own: Mapping[str, Any]) -> list[str]:
    backbone = cfg.model.backbone
    path = str((backbone.get('init_cfg') or own).get('checkpoint'))  # from scratch: the same network
    if not os.path.isfile(path):
        return []  # what fills the network says so; a chain looks at configs before there are backbones
    architecture = read_backbone(path, arch=own.get('arch')).architecture
    size = next((name for name, width in _SIZES.items() if architecture.embed_dims <= width), 'large')
    arch = VisionTransformer.arch_zoo[backbone.arch] if isinstance(backbone.arch, str) else backbone.arch
    old, new = arch['embed_dims'], architecture.embed_dims
    cfg.merge_from_dict(dict(own['sizes'].get(size) or {}))
    others = _OF_WINDOWS if backbone.type.endswith('ViTDet') else ()
    for key, value in architecture.mmpretrain_kwargs().items():
        if key not in (*_OF_THE_TASK, *others):
            backbone[key] = value
    for name, part in _dicts(cfg.model):
        if not name.startswith('backbone'):
            for key in ('in_channels', 'channels', 'embed_dim'):
                if part.get(key) == old:
                    part[key] = new
                elif part.get(key) == [old] * 4:
                    part[key] = [new] * 4
    _check_patches(cfg, path)
    return [f'as {path} has it: ViT {new} wide, {architecture.num_layers} blocks, the recipe "{size}"']


def _check_patches(cfg: Config, path: str) -> None:
    side, patch = cfg.model.backbone.img_size, cfg.model.backbone.patch_size
    if isinstance(side, int) and isinstance(patch, int) and side % patch:
        raise UserError(
            f'{path} has patches of {patch} px, into which the {side} px of model.backbone.img_size cannot be cut: '
            f'set it, and the crops of the pipeline, to {round(side / patch) * patch}'
        )


def _dicts(node: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """All dicts of a config, with their dotted names."""
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from _dicts(value, f'{path}.{key}' if path else str(key))
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from _dicts(value, f'{path}.{number}')
