"""The grammar of downstream config names, and whether a name says what is in the config.

``[{task}_]{model}_[{method}-pre_]{GPUs}xb{batch}[-{word}...]_{data}``: without a task a classifier, else ``mask-rcnn``,
``cascade-mask-rcnn``, ``upernet`` or ``fcn``. The last words are the schedule (``coslr-100e``, ``100e``, ``1x``, ``160k``; none
for ``knn``). ``{method}-pre`` is the method of pre-training, and none stands for Img2Vec's. For example
``mask-rcnn_vitdet-base-p16-sfp_64xb1-lsj-100e_coco`` and ``vit-base-p16_mff-pre_8xb128-coslr-100e_in1k``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmengine.config import ConfigDict

from config_checks.names import (
    EMBEDDED_DATA,
    fits_architecture,
    get,
    is_amp,
    train_dataset,
    walk,
)

GRAMMAR = '[{task}_]{model}_[{method}-pre_]{GPUs}xb{batch}[-option...]-{schedule}_{data}'
# Task of the name -> type of the model.
TASKS = {
    None: 'ImageClassifier',
    'mask-rcnn': 'MaskRCNN',
    'cascade-mask-rcnn': 'CascadeRCNN',
    'upernet': 'EncoderDecoder',
    'fcn': 'EncoderDecoder',
}
DETECTORS = ('mask-rcnn', 'cascade-mask-rcnn')
BACKBONES = {'vit': 'VisionTransformer', 'vitdet': 'ViTDet', 'resnet': 'ResNet'}
NUM_CLASSES = {'in1k': 1000, 'coco': 80, 'ade20k': 150}

_NAME = re.compile(
    r'((?P<task>mask-rcnn|cascade-mask-rcnn|upernet|fcn)_)?'
    r'(?P<model>[a-z]+-[a-z]+(-h\d+)?)(-p(?P<patch>\d+))?(?P<neck>-sfp)?_'
    r'((?P<method>[a-z0-9]+(-[a-z0-9]+)*)-pre_)?'
    r'(?P<gpus>\d+)xb(?P<batch>\d+)(?P<words>(-[a-z0-9]+)+)_'
    r'(?P<data>[a-z0-9]+)(-(?P<height>\d+)x(?P<width>\d+))?(?P<ms>-ms)?'
)
_LENGTHS = {'e': 1, 'x': 12, 'k': 1000}  # epochs, times 12 epochs, thousands of iterations


@dataclass(frozen=True)
class BenchmarkName:
    """What the name of a downstream config says.

    Attributes:
        task: ``mask-rcnn``, ``cascade-mask-rcnn``, ``upernet``, ``fcn``, or None for a classifier.
        model: Backbone, such as ``vit-base`` or ``vitdet-base``, without its patch size.
        patch: Patch size in pixels, or None.
        pyramid: Whether it has the simple feature pyramid.
        method: Method of pre-training, such as ``cae-v2``, or None.
        gpus: GPUs that the schedule is meant for.
        batch: Images per GPU and step.
        options: Words between batch and schedule.
        length: Epochs, or iterations; None where nothing is trained.
        by_epoch: Which of the two.
        data: Data set.
        crop: Height and width of the training images in pixels, or None.
        multi_scale_test: Whether it tests at several sizes, and does nothing else.
    """

    task: str | None
    model: str
    patch: int | None
    pyramid: bool
    method: str | None
    gpus: int
    batch: int
    options: tuple[str, ...]
    length: int | None
    by_epoch: bool
    data: str
    crop: tuple[int, int] | None
    multi_scale_test: bool


def parse_benchmark(stem: str) -> BenchmarkName | None:
    """Parse the name of a config file without its ending; None if it is not that of a downstream config."""
    match = _NAME.fullmatch(stem)
    if match is None:
        return None
    *options, last = match['words'].split('-')[1:]
    schedule = re.fullmatch(r'(\d+)([exk])', last)
    if schedule is None and last != 'knn':
        return None
    if schedule is None:
        options.append(last)
    return BenchmarkName(
        task=match['task'],
        model=match['model'],
        patch=int(match['patch']) if match['patch'] else None,
        pyramid=match['neck'] is not None,
        method=match['method'],
        gpus=int(match['gpus']),
        batch=int(match['batch']),
        options=tuple(options),
        length=int(schedule[1]) * _LENGTHS[schedule[2]] if schedule else None,
        by_epoch=schedule is None or schedule[2] != 'k',
        data=match['data'],
        crop=(int(match['height']), int(match['width'])) if match['height'] else None,
        multi_scale_test=match['ms'] is not None,
    )


def task_model(cfg: ConfigDict) -> dict:
    """Config of the network, also where a test at several sizes is around it."""
    model = cfg.get('model', {})
    return model.get('module', model)


def stripped(kind: Any) -> str:
    """A type without its scope."""
    return str(kind).split('.')[-1]


def check_benchmark(cfg: ConfigDict, name: BenchmarkName) -> list[str]:
    """Whether the config does what its name says."""
    problems = [*_check_model(cfg, name), *_check_options(cfg, name), *_check_data(cfg, name)]
    if name.multi_scale_test:
        if cfg.get('train_cfg') or cfg.get('train_dataloader'):
            problems.append('it would train the model of a test at several sizes')
    elif name.length is not None:
        problems += [*_check_batch(cfg, name), *_check_schedule(cfg, name)]
    return problems


def _has_type(node: Any, kind: str) -> bool:
    return any(stripped(part.get('type')) == kind for _, part in walk(node))


def _pipeline(cfg: ConfigDict) -> list[dict]:
    return train_dataset(cfg).get('pipeline', [])


def _is_frozen(cfg: ConfigDict) -> bool:
    return get(task_model(cfg), 'backbone.frozen_stages', -1) > 0


# An option stands in the name exactly where its condition holds. `amp` is for what OpenMMLab's own names have it.
OPTIONS: dict[str, Callable[[ConfigDict], bool]] = {
    'knn': lambda cfg: 'knn' in cfg,
    'attentive': lambda cfg: _has_type(get(task_model(cfg), 'neck'), 'AttentivePooling'),
    'linear': lambda cfg: _is_frozen(cfg) and stripped(task_model(cfg)['type']) == 'ImageClassifier',
    'frozen': lambda cfg: _is_frozen(cfg) and stripped(task_model(cfg)['type']) == 'EncoderDecoder',
    'lsj': lambda cfg: any(
        stripped(step['type']) == 'RandomResize' and tuple(step['ratio_range']) == (0.1, 2.0) for step in _pipeline(cfg)
    ),
    'ms': lambda cfg: _has_type(_pipeline(cfg), 'RandomChoiceResize'),
    'coslr': lambda cfg: _has_type(cfg.get('param_scheduler'), 'CosineAnnealingLR'),
}


def _check_options(cfg: ConfigDict, name: BenchmarkName) -> list[str]:
    problems = [
        f'option {word!r} of the name is not one of amp, {", ".join(OPTIONS)}'
        for word in name.options
        if word != 'amp' and word not in OPTIONS
    ]
    for word, holds in OPTIONS.items():
        if holds(cfg) and word not in name.options:
            problems.append(f'the config has what {word!r} stands for, its name does not')
        elif word in name.options and not holds(cfg) and not name.multi_scale_test:
            problems.append(f'the name has the option {word!r}, the config not what it stands for')
    # On the embedded data amp is named where it is on. Elsewhere it is on, named or not.
    trains = name.length is not None and not name.multi_scale_test
    wanted = 'amp' in name.options or name.data != EMBEDDED_DATA
    if trains and is_amp(cfg) != wanted:
        problems.append(f'optim_wrapper is {"" if is_amp(cfg) else "not "}in bfloat16, against its name')
    if name.multi_scale_test != (get(cfg, 'model.type') == 'SegTTAModel'):
        problems.append('tests at several sizes (SegTTAModel) and -ms at the end go together')
    return problems


def _check_model(cfg: ConfigDict, name: BenchmarkName) -> list[str]:
    model = task_model(cfg)
    backbone, (kind, size) = model.get('backbone', {}), name.model.split('-', 1)
    # A probe that is more than a linear layer has a backbone that cannot be trained.
    wanted = 'FrozenVisionTransformer' if 'attentive' in name.options else BACKBONES.get(kind)
    stated = {
        'model.type': (stripped(model.get('type')), TASKS[name.task]),
        'model.backbone.type': (stripped(backbone.get('type')), wanted),
        'model.backbone.patch_size': (backbone.get('patch_size'), name.patch),
        'model.neck (simple feature pyramid)': (
            stripped(get(model, 'neck.type')) == 'SimpleFeaturePyramid',
            name.pyramid,
        ),
    }
    arch = backbone.get('arch')
    if kind.startswith('vit'):
        stated[f'model.backbone.arch {arch!r}'] = (fits_architecture(arch, f'vit-{size}'), True)
    return [f'{key} is {found}, by the name {wanted}' for key, (found, wanted) in stated.items() if found != wanted]


def _check_batch(cfg: ConfigDict, name: BenchmarkName) -> list[str]:
    stated = {
        'train_dataloader.batch_size': name.batch,
        'auto_scale_lr.base_batch_size': name.gpus * name.batch,
        'auto_scale_lr.enable': True,
    }
    return [
        f'{path} is {get(cfg, path)}, by the name {wanted}'
        for path, wanted in stated.items()
        if get(cfg, path) != wanted
    ]


def _check_schedule(cfg: ConfigDict, name: BenchmarkName) -> list[str]:
    key = 'max_epochs' if name.by_epoch else 'max_iters'
    length = get(cfg, f'train_cfg.{key}')
    problems = []
    if length != name.length:
        problems.append(f'train_cfg.{key} is {length}, by the name {name.length}')
    schedulers = cfg.get('param_scheduler') or []
    if not schedulers:
        return [*problems, 'it has no param_scheduler']
    last = schedulers[-1]
    if last.get('by_epoch', True) != name.by_epoch:
        problems.append('the last param_scheduler does not count as the training loop does')
    elif last.get('end', length) != length:
        problems.append(f'param_scheduler ends at {last["end"]} of {length}')
    warmup = schedulers[0]
    same_unit = len(schedulers) > 1 and warmup.get('by_epoch', True) == name.by_epoch
    if same_unit and last.get('begin', 0) != warmup['end']:
        problems.append(f'after the warm-up, to {warmup["end"]}, it goes on at {last.get("begin", 0)}')
    drops = last.get('milestones', [])
    if any(drop >= (length or 0) for drop in drops):
        problems.append(f'milestones {drops} are not all before the end, {length}')
    if not name.by_epoch and get(cfg, 'default_hooks.checkpoint.by_epoch', True):
        problems.append('default_hooks.checkpoint counts epochs, and the run has none to count')
    return problems


def _check_data(cfg: ConfigDict, name: BenchmarkName) -> list[str]:
    loaders = [cfg.get(f'{split}_dataloader') for split in ('train', 'test')]
    if 'knn' in cfg:
        loaders = [cfg.knn.bank_dataloader, cfg.knn.query_dataloader]
    kinds = {'in1k': 'ImageNet', 'coco': 'CocoDataset', 'ade20k': 'ADE20KDataset'}
    problems = []
    for loader in filter(None, loaders):
        dataset = loader['dataset']
        dataset = dataset.get('dataset', dataset)
        kind, root = stripped(dataset['type']), str(dataset.get('data_root'))
        fits = 'shapes' in root if name.data == EMBEDDED_DATA else kinds.get(name.data) == kind
        if not fits:
            problems.append(f'the data is {kind} in {root}, by the name {name.data}')
    if name.data in NUM_CLASSES and 'knn' not in cfg:
        wanted = NUM_CLASSES[name.data]
        for path, node in walk(task_model(cfg), 'model'):
            if node.get('num_classes', wanted) != wanted:
                problems.append(f'{path}.num_classes is {node["num_classes"]}, {name.data} has {wanted}')
    if name.crop is not None:
        crops = [step['crop_size'] for step in _pipeline(cfg) if stripped(step['type']) == 'RandomCrop']
        size = tuple(get(task_model(cfg), 'data_preprocessor.size', ()))
        for crop in [*crops, size]:
            if tuple(crop) != name.crop:
                problems.append(f'training images are {tuple(crop)}, by the name {name.crop}')
    return problems
