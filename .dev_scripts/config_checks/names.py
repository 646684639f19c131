"""The grammar of config names, and whether a name says what is in the config.

``{algo}_{model}_{GPUs}xb{batch}[-accum{N}][-{option}...]-{schedule}-{epochs}e_{data}``, for example
``img2vec_vit-base-p16_8xb256-amp-nofusion-coslr-300e_in1k``. Parts are joined by ``_``, words within a part by ``-``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmengine.config import ConfigDict

from config_checks.masks import EMBEDDED_DATA, MASK_OPTION, MASKS, check_mask
from config_checks.nodes import get, walk

_SETTINGS = re.compile(
    r'(?P<gpus>\d+)xb(?P<batch>\d+)(-accum(?P<accumulation>\d+))?(?P<options>(-[a-z0-9]+)*?)'
    r'-(?P<schedule>[a-z]+lr)-(?P<epochs>\d+)e'
)
_WORDS = re.compile(r'[a-z0-9]+(-[a-z0-9]+)*')

# mmpretrain's names of the architectures, or the `arch` itself; models not listed have a dict of their own.
ARCHITECTURES = {
    # CAE v2's: 12 heads at every width.
    'vit-tiny-h12': (dict(embed_dims=192, num_layers=12, num_heads=12, feedforward_channels=768),),
    'vit-small-h12': (dict(embed_dims=384, num_layers=12, num_heads=12, feedforward_channels=1536),),
    'vit-small': ('deit-small', 'deit-s'),
    'vit-base': ('base', 'b'),
    'vit-large': ('large', 'l'),
    'vit-huge': ('huge', 'h'),
}
SCHEDULES = {'coslr': 'CosineAnnealingLR'}
# Learning rate for a batch of 256 images. The short runs on the embedded data have rates of their own.
BASE_LR = {'img2vec': 1.5e-4, 'mff': 1.5e-4, 'cae-v2': 1.5e-3 * 256 / 2048}


@dataclass(frozen=True)
class ConfigName:
    """What the name of a config says.

    Attributes:
        algo: Algorithm.
        model: Model without its patch size, such as ``vit-base``.
        patch: Patch size in pixels, or None.
        gpus: GPUs that the schedule is meant for.
        batch: Images per GPU and step.
        accumulation: Steps per update.
        options: Words between batch and schedule.
        schedule: Learning-rate schedule.
        epochs: Epochs.
        data: Data set.
    """

    algo: str
    model: str
    patch: int | None
    gpus: int
    batch: int
    accumulation: int
    options: tuple[str, ...]
    schedule: str
    epochs: int
    data: str


def parse_name(stem: str) -> ConfigName | None:
    """Parse the name of a config file without its ending; None if it does not follow the grammar."""
    parts = stem.split('_')
    if len(parts) != 4 or not all(_WORDS.fullmatch(part) for part in parts):
        return None
    algo, model, settings, data = parts
    match = _SETTINGS.fullmatch(settings)
    if match is None:
        return None
    patch = re.fullmatch(r'(.+)-p(\d+)', model)
    return ConfigName(
        algo=algo,
        model=patch[1] if patch else model,
        patch=int(patch[2]) if patch else None,
        gpus=int(match['gpus']),
        batch=int(match['batch']),
        accumulation=int(match['accumulation'] or 1),
        options=tuple(match['options'].split('-')[1:]),
        schedule=match['schedule'],
        epochs=int(match['epochs']),
        data=data,
    )


def train_dataset(cfg: ConfigDict) -> dict:
    """Config of the innermost training dataset."""
    dataset = get(cfg, 'train_dataloader.dataset') or {}
    while isinstance(dataset.get('dataset'), dict):
        dataset = dataset['dataset']
    return dataset


def fits_architecture(arch: Any, model: str) -> bool:
    """Whether ``backbone.arch`` is what the model's name says; names not listed go with a dict of their own."""
    wanted = ARCHITECTURES.get(model)
    return isinstance(arch, dict) if wanted is None else arch in wanted


def is_amp(cfg: ConfigDict) -> bool:
    """Whether the config trains in bfloat16."""
    wrapper = cfg.get('optim_wrapper', {})
    return wrapper.get('type') == 'mmimg2vec.AutocastOptimWrapper' and wrapper.get('dtype', 'bfloat16') == 'bfloat16'


def _loss(cfg: ConfigDict) -> str:
    return get(cfg, 'model.head.loss.type', 'mmimg2vec.SmoothL1FeatureLoss')


def _starts_from(cfg: ConfigDict, word: str) -> bool:
    return word in get(cfg, 'model.backbone.init_cfg.checkpoint', '')


# An option stands in the name exactly where its condition holds.
OPTIONS: dict[str, Callable[[ConfigDict], bool]] = {
    'amp': is_amp,
    'fsdp': lambda cfg: get(cfg, 'strategy.type') == 'FSDPStrategy',
    'knn': lambda cfg: any(hook['type'] == 'mmimg2vec.KNNHook' for hook in cfg.get('custom_hooks', [])),
    'maeinit': lambda cfg: _starts_from(cfg, '/mae/'),
    'dinov2init': lambda cfg: _starts_from(cfg, '/dinov2/'),
}
IMG2VEC_OPTIONS: dict[str, Callable[[ConfigDict], bool]] = {
    'nofusion': lambda cfg: get(cfg, 'model.fusion') is None,
    'noglobal': lambda cfg: get(cfg, 'model.head.global_weight', 1.0) == 0,
    'cosine': lambda cfg: _loss(cfg) == 'mmimg2vec.CosineFeatureLoss',
    'mse': lambda cfg: _loss(cfg) == 'mmimg2vec.MSEFeatureLoss',
    'allpatches': lambda cfg: get(cfg, 'model.head.supervision', 'masked') == 'all',
    'visiblepatches': lambda cfg: get(cfg, 'model.head.supervision', 'masked') == 'visible',
    'selfattn': lambda cfg: get(cfg, 'model.neck.type') == 'mmimg2vec.SelfAttentionDecoder',
    'rawtarget': lambda cfg: _normalization(cfg) == 'none',
    'batchtarget': lambda cfg: _normalization(cfg) == 'batch',
    'whitetarget': lambda cfg: _normalization(cfg) == 'whiten',
}
CAE_V2_OPTIONS: dict[str, Callable[[ConfigDict], bool]] = {
    'fusion': lambda cfg: get(cfg, 'model.fusion') is not None,
    'maskedpatches': lambda cfg: get(cfg, 'model.head.supervision', 'all') == 'masked',
    'visiblepatches': lambda cfg: get(cfg, 'model.head.supervision', 'all') == 'visible',
}
METHOD_OPTIONS = {
    'img2vec': IMG2VEC_OPTIONS,
    'cae-v2': CAE_V2_OPTIONS,
    'mff': {'nofusion': lambda cfg: get(cfg, 'model.fusion') is None},
}
DATA: dict[str, Callable[[dict], bool]] = {
    'in1k': lambda dataset: dataset.get('type') == 'mmpretrain.ImageNet',
    'own-images': lambda dataset: (
        dataset.get('type') == 'mmpretrain.CustomDataset' and dataset.get('with_label') is False
    ),
    EMBEDDED_DATA: lambda dataset: 'shapes' in str(dataset.get('data_root')),
}


def _normalization(cfg: ConfigDict) -> str:
    return get(cfg, 'model.target_generator.normalization', 'layer')


def check_content(cfg: ConfigDict, name: ConfigName) -> list[str]:
    """Whether the config does what its name says."""
    return [
        *_check_batch(cfg, name),
        *_check_schedule(cfg, name),
        *_check_options(cfg, name),
        *_check_model(cfg, name),
    ]


def _check_batch(cfg: ConfigDict, name: ConfigName) -> list[str]:
    total = name.gpus * name.batch * name.accumulation
    stated = {
        'train_dataloader.batch_size': (get(cfg, 'train_dataloader.batch_size'), name.batch),
        'optim_wrapper.accumulative_counts': (
            get(cfg, 'optim_wrapper.accumulative_counts', 1),
            name.accumulation,
        ),
        'auto_scale_lr.base_batch_size': (
            get(cfg, 'auto_scale_lr.base_batch_size'),
            total // name.accumulation,
        ),
        'auto_scale_lr.enable': (get(cfg, 'auto_scale_lr.enable'), True),
    }
    problems = [
        f'{path} is {found}, by the name {wanted}' for path, (found, wanted) in stated.items() if found != wanted
    ]
    rate = get(cfg, 'optim_wrapper.optimizer.lr', 0.0)
    if name.algo in BASE_LR and name.data != EMBEDDED_DATA:
        wanted = BASE_LR[name.algo] * total / 256
        if not math.isclose(rate, wanted, rel_tol=1e-9):
            problems.append(f'optim_wrapper.optimizer.lr is {rate:g}, for {total} images per update {wanted:g}')
    return problems


def _check_schedule(cfg: ConfigDict, name: ConfigName) -> list[str]:
    problems = []
    epochs = get(cfg, 'train_cfg.max_epochs')
    if epochs != name.epochs:
        problems.append(f'train_cfg.max_epochs is {epochs}, by the name {name.epochs}')
    schedulers = cfg.get('param_scheduler') or []
    end = 0
    for index, scheduler in enumerate(schedulers):
        if scheduler.get('begin', 0) != end:
            problems.append(f'param_scheduler[{index}] begins at {scheduler.get("begin", 0)}, not {end}')
        end = scheduler.get('end', epochs)
    if schedulers and end != epochs:
        problems.append(f'param_scheduler ends at epoch {end} of {epochs}')
    kinds = [scheduler['type'] for scheduler in schedulers]
    if SCHEDULES.get(name.schedule) not in kinds:
        problems.append(f'param_scheduler has no schedule of the name {name.schedule!r}: {kinds}')
    return problems


def _check_options(cfg: ConfigDict, name: ConfigName) -> list[str]:
    known = {**OPTIONS, **METHOD_OPTIONS.get(name.algo, {})}
    problems = [
        f'option {word!r} of the name is not one of {", ".join(known)}'
        for word in name.options
        if word not in known and not MASK_OPTION.fullmatch(word)
    ]
    problems += check_mask(cfg, name)
    for word, holds in known.items():
        # The demo's configs are what they are; only their precision is always named.
        named = name.data != EMBEDDED_DATA or word in ('amp', 'fsdp')
        if named and holds(cfg) and word not in name.options:
            problems.append(f'the config has what the option {word!r} stands for, its name does not')
        elif word in name.options and not holds(cfg):
            problems.append(f'the name has the option {word!r}, the config not what it stands for')
    if name.data not in DATA:
        problems.append(f'data {name.data!r} of the name is not one of {", ".join(DATA)}')
    elif not DATA[name.data](train_dataset(cfg)):
        dataset = train_dataset(cfg)
        problems.append(
            f'the training data is {dataset.get("type")} in {dataset.get("data_root")}, by the name {name.data}'
        )
    return problems


def _check_model(cfg: ConfigDict, name: ConfigName) -> list[str]:
    problems = []
    algo = get(cfg, 'model.type', '').split('.')[-1].lower()
    if algo != name.algo.replace('-', ''):
        problems.append(f'model.type is {get(cfg, "model.type")}, by the name {name.algo}')
    arch = get(cfg, 'model.backbone.arch')
    if name.model.startswith('vit-'):
        if not fits_architecture(arch, name.model):
            problems.append(f'model.backbone.arch is {arch!r}, by the name {name.model}')
        if name.patch is None:
            problems.append('the model of the name lacks its patch size, such as -p16')
    patch = get(cfg, 'model.backbone.patch_size', 16)
    if name.patch is not None and patch != name.patch:
        problems.append(f'model.backbone.patch_size is {patch}, by the name {name.patch}')
    for path, node in walk(cfg.get('train_dataloader', {}), 'train_dataloader'):
        if node.get('type') in MASKS and node.get('patch_size') != patch:
            problems.append(f'{path}.patch_size is {node.get("patch_size")}, the model has {patch}')
    teacher = get(cfg, 'model.target_generator.dtype', 'float32')
    if 'teacher' in get(cfg, 'model.target_generator', {}) and is_amp(cfg) != (teacher == 'bfloat16'):
        problems.append(f'model.target_generator.dtype is {teacher}: bfloat16 goes with amp')
    return problems
