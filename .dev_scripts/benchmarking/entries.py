"""What is measured: configs by name, brought to random weights, drawn images and the batch that is asked for."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import mmpretrain
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.runner.checkpoint import CheckpointLoader
from mmpretrain.models.utils.clip_generator_helper import CLIP

from mmimg2vec.engine.command_line import Options
from mmimg2vec.errors import UserError
from mmimg2vec.utils.config import load_config

_THEIRS = 'mmpretrain::'
# Short names of configs; those of mmpretrain are read where it is installed, and are left as it ships them.
CONFIGS = {
    'mae': f'{_THEIRS}mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py',
    'mae-large': f'{_THEIRS}mae/mae_vit-large-p16_8xb512-amp-coslr-300e_in1k.py',
    'eva': f'{_THEIRS}eva/eva-mae-style_vit-base-p16_16xb256-coslr-400e_in1k.py',
    'milan': f'{_THEIRS}milan/milan_vit-base-p16_16xb256-amp-coslr-400e_in1k.py',
    'img2vec': 'configs/img2vec/img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k.py',
    'img2vec-small': 'configs/img2vec/img2vec_vit-small-p16_8xb256-amp-coslr-300e_in1k.py',
    'img2vec-large': 'configs/img2vec/img2vec_vit-large-p16_8xb256-amp-coslr-800e_in1k.py',
    'img2vec-huge': 'configs/img2vec/img2vec_vit-huge-p14_8xb256-amp-coslr-800e_in1k.py',
    'cae_v2': 'configs/cae_v2/cae-v2_vit-base-p16_8xb256-amp-coslr-300e_in1k.py',
    'mff': 'configs/mff/mff_vit-base-p16_8xb512-amp-coslr-300e_in1k.py',
}
# CLIP ViT-B/16, both towers, as the file that mmpretrain's configs of EVA and MILAN name.
CLIP_SIZES = dict(
    embed_dim=512,
    image_resolution=224,
    vision_layers=12,
    vision_width=768,
    vision_patch_size=16,
    context_length=77,
    vocab_size=49408,
    transformer_width=512,
    transformer_heads=8,
    transformer_layers=12,
)


@CheckpointLoader.register_scheme(prefixes='random-clip:')
def random_clip(filename: str, map_location: Any = None) -> dict[str, Any]:
    """What mmpretrain's ``CLIPGenerator`` loads instead of a download: the weights of a CLIP that was not trained."""
    return CLIP(**CLIP_SIZES).state_dict()


@dataclass(frozen=True)
class Entry:
    """One row of the table.

    Attributes:
        name: What the row is called.
        config: A short name of :data:`CONFIGS`, a path, or ``mmpretrain::PATH`` below the configs of mmpretrain.
        options: Dotted key -> value, merged into the config.
        side: Side of the images in pixels; None leaves the config's.
        views: Masked views per step: images times masks per image; None takes the setting's.
        masks: Masks per image; None leaves the config's.
    """

    name: str
    config: str
    options: Mapping[str, Any] = field(default_factory=dict)
    side: int | None = None
    views: int | None = None
    masks: int | None = None

    @classmethod
    def parse(cls, words: Sequence[str]) -> Entry:
        """An entry of the command line: ``NAME CONFIG [KEY=VALUE ...]``.

        Raises:
            UserError: There is no config, or an option is no ``KEY=VALUE``.
        """
        if len(words) < 2:
            raise UserError(f'--config {" ".join(words)} names no config: --config NAME CONFIG [KEY=VALUE ...]')
        parser = argparse.ArgumentParser()
        parser.add_argument('options', nargs='*', action=Options)
        return cls(words[0], words[1], parser.parse_args(words[2:]).options or {})

    def vary(self, name: str, **changes: Any) -> Entry:
        """The same with another name and other attributes."""
        return replace(self, name=f'{self.name}, {name}', **changes)


@dataclass(frozen=True)
class Setting:
    """What all rows have in common.

    Attributes:
        views: Masked views per step, where an entry does not say it.
        precision: ``'shipped'``: as the configs say; or ``'float32'``, ``'bfloat16'`` for all of them, teachers too.
        images: Folder of image files.
        workers: Processes that load them.
    """

    views: int
    precision: str
    images: str
    workers: int = 0


def read(entry: Entry, setting: Setting, work_dir: Path) -> Config:
    """Config of an entry as it is measured.

    Optimizer, pipeline, hooks and model stay as they are, but for weights, which are random, the image files, and the
    number of images in a batch.

    Raises:
        UserError: There is no such config, an option does not fit it, or the views are no whole number of images.
    """
    path = CONFIGS.get(entry.config, entry.config)
    if path.startswith(_THEIRS):
        path = str(Path(mmpretrain.__file__).parent / '.mim/configs' / path[len(_THEIRS) :])
    cfg = load_config(path, dict(entry.options))
    _use_images(cfg.train_dataloader, entry, setting)
    _use_random_weights(cfg.model)
    if entry.side is not None:
        _resize(cfg, entry.side)
    _set_precision(cfg, setting.precision)
    cfg.update(
        work_dir=str(work_dir),
        experiment_name=f'{work_dir.name} {entry.name}',
        log_level='ERROR',
        load_from=None,
        resume=False,
        visualizer=dict(type='Visualizer', vis_backends=[]),
    )
    return cfg


def walk(node: Any) -> Iterator[dict]:
    """All dicts of a config, the outer ones first."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ():
        yield from walk(child)


def _use_images(loader: ConfigDict, entry: Entry, setting: Setting) -> None:
    holder = loader if 'pipeline' in loader.dataset else loader.dataset
    pipeline = holder.dataset.pipeline
    for node in pipeline:
        if entry.masks is not None and node.type.endswith('TokenMask'):
            node.masks_per_image = entry.masks
    masks = max(node.get('masks_per_image', 1) for node in pipeline)
    views = entry.views or setting.views
    if views % masks:
        raise UserError(f'{views} views of {entry.name} are no whole number of images with {masks} masks each')
    # Replaced, not merged: the keys of another kind of dataset would stay.
    holder.dataset = ConfigDict(
        type='mmpretrain.CustomDataset', data_root=setting.images, with_label=False, pipeline=pipeline
    )
    loader.update(batch_size=views // masks, num_workers=setting.workers, persistent_workers=setting.workers > 0)


def _use_random_weights(model: ConfigDict) -> None:
    """Time and memory do not depend on the weights, and nothing is to be downloaded."""
    for node in walk(model):
        if isinstance(node.get('teacher'), dict):
            node['teacher'].pop('init_cfg', None)
            node['random_weights'] = 0
        if 'tokenizer_path' in node:
            node['tokenizer_path'] = 'random-clip:'
        if isinstance(node.get('init_cfg'), dict) and node['init_cfg'].get('type') == 'Pretrained':
            del node['init_cfg']


def _resize(cfg: Config, side: int) -> None:
    model = cfg.model
    model.backbone.img_size = side
    if 'MAE' in model.neck.type:
        model.neck.num_patches = (side // model.backbone.get('patch_size', 16)) ** 2
    for node in walk(cfg.train_dataloader):
        if 'scale' in node:
            node['scale'] = side


def _set_precision(cfg: Config, precision: str) -> None:
    if precision == 'shipped':
        return
    wrapper = cfg.optim_wrapper
    ours = 'AutocastOptimWrapper' in wrapper.type
    if not ours and 'fused' not in wrapper.optimizer:
        # As torch takes it by itself; our wrapper would fuse it.
        wrapper.optimizer.update(dict(foreach=True) if get_device() == 'cuda' else dict(fused=False))
    for key in ('loss_scale', 'dtype'):
        wrapper.pop(key, None)
    if ours or precision != 'float32':
        wrapper.update(type='mmimg2vec.AutocastOptimWrapper', dtype=precision)
    else:
        wrapper.type = 'OptimWrapper'  # AmpOptimWrapper is for accelerators alone
    if 'teacher' in cfg.model.get('target_generator', {}):
        cfg.model.target_generator.dtype = precision


_FUSED = {'optim_wrapper.optimizer.fused': True}
_NOT_FUSED = {'optim_wrapper.optimizer.fused': False}
_COMPILED = {'default_hooks.compile.type': 'mmimg2vec.CompileHook', 'default_hooks.compile.on_failure': 'stop'}
# Rows that have a name of their own on the command line.
ROWS = {
    entry.name: entry
    for entry in (
        *(Entry(name, name) for name in CONFIGS),
        Entry('mae-fused', 'mae', _FUSED),
        Entry('img2vec-not-fused', 'img2vec', _NOT_FUSED),
        Entry('img2vec-k2', 'img2vec', masks=2),
        Entry('img2vec-k4', 'img2vec', masks=4),
        Entry('img2vec-k4-not-fused', 'img2vec', _NOT_FUSED, masks=4),
        Entry('img2vec-compiled', 'img2vec', _COMPILED),
        Entry('img2vec-k4-compiled', 'img2vec', _COMPILED, masks=4),
        Entry('img2vec-large-k4', 'img2vec-large', masks=4),
        Entry('img2vec-large-k4-compiled', 'img2vec-large', _COMPILED, masks=4),
        Entry('cae_v2-k4', 'cae_v2', masks=4),
    )
}
