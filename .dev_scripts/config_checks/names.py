"""The grammar of config names, and whether a name says what is in the config.

``[{method or task}_]{model}_[{method}-pre_]{GPUs}xb{batch}[-accumN][-word...][-{length}]_{data}``. In front stands the
method of a pre-training, or the task: ``mask-rcnn``, ``cascade-mask-rcnn``, ``upernet``, ``fcn``, nothing for a
classifier. The length is ``300e`` (epochs), ``1x`` (12 epochs) or ``160k`` (iterations); ``knn`` trains nothing.
``{method}-pre`` marks a recipe of a method's own; those without serve every backbone. For example
``img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k`` and ``mask-rcnn_vitdet-base-p16-sfp_64xb1-lsj-100e_coco``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from config_checks.nodes import get, stripped, train_dataset, walk

if TYPE_CHECKING:  # the build reads names where mmengine is not installed yet
    from mmengine.config import ConfigDict

GRAMMAR = '[{method or task}_]{model}_[{method}-pre_]{GPUs}xb{batch}[-accumN][-word...][-{length}]_{data}'
EMBEDDED_DATA = 'shapes'
# Task of a downstream name -> type of the model.
TASKS = {
    None: 'ImageClassifier',
    'mask-rcnn': 'MaskRCNN',
    'cascade-mask-rcnn': 'CascadeRCNN',
    'upernet': 'EncoderDecoder',
    'fcn': 'EncoderDecoder',
}
DETECTORS = ('mask-rcnn', 'cascade-mask-rcnn')
BACKBONES = {'vit': 'VisionTransformer', 'vitdet': 'ViTDet', 'resnet': 'ResNet'}
# Data of a name -> (type of the dataset, number of classes).
DATA = {
    'in1k': ('ImageNet', 1000),
    'coco': ('CocoDataset', 80),
    'ade20k': ('ADE20KDataset', 150),
    'own-images': ('CustomDataset', None),
    'own-classes': ('CustomDataset', None),
    'own-coco': ('CocoDataset', None),
    'own-maps': ('BaseSegDataset', None),
    EMBEDDED_DATA: (None, None),
}
# mmpretrain's names of the architectures; h12: CAE v2's, with 12 heads at every width.
ARCHITECTURES = {
    'tiny': 'deit-tiny',
    'small': 'deit-small',
    'base': 'base',
    'large': 'large',
    'huge': 'huge',
    'tiny-h12': dict(embed_dims=192, num_layers=12, num_heads=12, feedforward_channels=768),
    'small-h12': dict(embed_dims=384, num_layers=12, num_heads=12, feedforward_channels=1536),
}
# Learning rate for a batch of 256 images, and masked patches in percent. Short runs on the embedded data have their
# own.
BASE_LR = {'img2vec': 1.5e-4, 'mff': 1.5e-4, 'cae-v2': 1.5e-3 * 256 / 2048}
MASKED = {
    ('cae-v2', 'tiny-h12'): 15,
    ('cae-v2', 'small-h12'): 25,
    'cae-v2': 50,
    'img2vec': 75,
    'mff': 75,
}
MASKS = ('mmimg2vec.RandomTokenMask', 'mmimg2vec.BlockTokenMask')

_NAME = re.compile(
    r'(?:(?P<head>[a-z0-9]+(?:-[a-z0-9]+)*)_)?'
    r'(?P<kind>vit|vitdet|resnet)(?:-(?P<size>(?!sfp_)[a-z]+(?:-h\d+)?))?(?:-p(?P<patch>\d+))?(?P<pyramid>-sfp)?_'
    r'(?:(?P<method>[a-z0-9]+(?:-[a-z0-9]+)*)-pre_)?'
    r'(?P<gpus>\d+)xb(?P<batch>\d+)(?:-accum(?P<accumulation>\d+))?(?P<words>(?:-[a-z0-9]+)*?)'
    r'(?:-(?P<length>\d+)(?P<unit>[exk])|(?<=-knn))_'
    rf'(?P<data>{"|".join(DATA)})(?:-(?P<height>\d+)x(?P<width>\d+))?'
)
_UNITS = {'e': 1, 'x': 12, 'k': 1000}  # epochs, times 12 epochs, thousands of iterations


@dataclass(frozen=True)
class ConfigName:
    """What the name of a config says.

    Attributes:
        head: Method of a pre-training, or the task of a downstream config; None for a classifier.
        kind: ``vit``, ``vitdet`` or ``resnet``.
        size: Size, such as ``small-h12``; None where it is read from a file.
        patch: Patch size in pixels, or None.
        pyramid: Whether it has the simple feature pyramid.
        method: Method whose own recipe a downstream config is, such as ``cae-v2``, or None.
        gpus: GPUs that the schedule is meant for.
        batch: Images per GPU and step.
        accumulation: Steps per update.
        words: Words between batch and length.
        length: Epochs, or iterations; None where nothing is trained.
        by_epoch: Which of the two.
        data: Data set.
        crop: Height and width of the training images in pixels, or None.
    """

    head: str | None
    kind: str
    size: str | None
    patch: int | None
    pyramid: bool
    method: str | None
    gpus: int
    batch: int
    accumulation: int
    words: tuple[str, ...]
    length: int | None
    by_epoch: bool
    data: str
    crop: tuple[int, int] | None

    @property
    def downstream(self) -> bool:
        """Whether it starts from a backbone, rather than makes one."""
        return self.head in TASKS


def parse_name(stem: str) -> ConfigName | None:
    """Parse the name of a config file without its ending; None if it does not follow the grammar."""
    match = _NAME.fullmatch(stem)
    if match is None:
        return None
    return ConfigName(
        head=match['head'],
        kind=match['kind'],
        size=match['size'],
        patch=int(match['patch']) if match['patch'] else None,
        pyramid=match['pyramid'] is not None,
        method=match['method'],
        gpus=int(match['gpus']),
        batch=int(match['batch']),
        accumulation=int(match['accumulation'] or 1),
        words=tuple(match['words'].split('-')[1:]),
        length=int(match['length']) * _UNITS[match['unit']] if match['length'] else None,
        by_epoch=match['unit'] != 'k',
        data=match['data'],
        crop=(int(match['height']), int(match['width'])) if match['height'] else None,
    )


def is_amp(cfg: ConfigDict) -> bool:
    """Whether the config trains in bfloat16."""
    wrapper = cfg.get('optim_wrapper') or {}
    return wrapper.get('type') == 'mmimg2vec.AutocastOptimWrapper' and wrapper.get('dtype', 'bfloat16') == 'bfloat16'


def _pipeline(cfg: ConfigDict) -> list[dict]:
    return train_dataset(cfg).get('pipeline', [])


def _has_type(node: Any, kind: str) -> bool:
    return any(stripped(part.get('type')) == kind for _, part in walk(node))


def _is_frozen(cfg: ConfigDict, model: str) -> bool:
    return get(cfg, 'model.backbone.frozen_stages', -1) > 0 and stripped(get(cfg, 'model.type')) == model


def _is_continued(cfg: ConfigDict) -> bool:
    start = get(cfg, 'model.backbone.init_cfg.checkpoint', None)
    return start is not None and get(cfg, 'model.target_generator.teacher.init_cfg.checkpoint', None) == start


# A word stands in the name exactly where its condition holds.
WORDS: dict[str, Callable[[ConfigDict], bool]] = {
    'amp': is_amp,
    'fsdp': lambda cfg: get(cfg, 'strategy.type') == 'FSDPStrategy',
    'knn': lambda cfg: 'knn' in cfg or _has_type(cfg.get('custom_hooks'), 'KNNHook'),
    'continued': _is_continued,
    'attentive': lambda cfg: _has_type(get(cfg, 'model.neck'), 'AttentivePooling'),
    'linear': lambda cfg: _is_frozen(cfg, 'ImageClassifier') or _has_type(get(cfg, 'model.neck'), 'FeatureNorm'),
    'frozen': lambda cfg: _is_frozen(cfg, 'EncoderDecoder'),
    'lsj': lambda cfg: any(tuple(step.get('ratio_range', ())) == (0.1, 2.0) for step in _pipeline(cfg)),
    'ms': lambda cfg: _has_type(_pipeline(cfg), 'RandomChoiceResize'),
    'coslr': lambda cfg: _has_type(cfg.get('param_scheduler'), 'CosineAnnealingLR'),
}


def check_content(cfg: ConfigDict, name: ConfigName) -> list[str]:
    """Whether the config does what its name says."""
    facts = {**_model(cfg, name), **_data(cfg, name)}
    if name.length is not None:
        facts.update(_batch(cfg, name))
    problems = [
        f'{path} is {found}, by the name {wanted}' for path, (found, wanted) in facts.items() if found != wanted
    ]
    return [*problems, *_check_words(cfg, name), *(_check_schedule(cfg, name) if name.length else [])]


def _model(cfg: ConfigDict, name: ConfigName) -> dict[str, tuple[Any, Any]]:
    backbone, kind = get(cfg, 'model.backbone', {}), stripped(get(cfg, 'model.type'))
    patch = backbone.get('patch_size', None if name.kind == 'resnet' else 16)
    facts: dict[str, tuple[Any, Any]] = {
        'model.type': (kind, TASKS[name.head]) if name.downstream else (kind.lower(), str(name.head).replace('-', '')),
        'model.neck (simple feature pyramid)': (
            _has_type(get(cfg, 'model.neck'), 'SimpleFeaturePyramid'),
            name.pyramid,
        ),
    }
    if name.size and name.kind != 'resnet':
        facts['model.backbone.patch_size'] = (patch, name.patch)
        # A size of the demo's own is a dict of its own.
        demo, arch = name.data == EMBEDDED_DATA, backbone.get('arch')
        facts['model.backbone.arch'] = (isinstance(arch, dict), True) if demo else (arch, ARCHITECTURES.get(name.size))
    if name.downstream:
        # A probe that is more than a linear layer has a backbone that cannot be trained; CAE v2's has a bias of its
        # own.
        probe = 'attentive' in name.words or (name.head == 'fcn' and 'linear' in name.words)
        own = 'FrozenVisionTransformer' if probe else None
        own = 'RelativePositionVisionTransformer' if name.method == 'cae-v2' else own
        wanted = own or BACKBONES[name.kind]
        facts['model.backbone.type'] = (stripped(backbone.get('type')), wanted)
    if name.method == 'cae-v2':
        facts['LayerScale in model.backbone'] = (bool(backbone.get('layer_scale_init_value')), True)
    for path, node in walk(cfg.get('train_dataloader') or {}, 'train_dataloader'):
        if node.get('type') in MASKS:
            facts[f'{path}.patch_size'] = (node.get('patch_size'), patch)
            usual = MASKED.get((name.head, name.size), MASKED.get(name.head))
            if usual and name.data != EMBEDDED_DATA:
                facts[f'percent masked by {path}'] = (round(100 * node.get('mask_ratio', 0)), usual)
    if 'teacher' in get(cfg, 'model.target_generator', {}):
        teacher = get(cfg, 'model.target_generator.dtype', 'float32')
        facts['bfloat16 in model.target_generator.dtype'] = (teacher == 'bfloat16', is_amp(cfg))
    return facts


def _batch(cfg: ConfigDict, name: ConfigName) -> dict[str, tuple[Any, Any]]:
    step, length = name.gpus * name.batch, 'max_epochs' if name.by_epoch else 'max_iters'
    facts = {
        path: (get(cfg, path), wanted)
        for path, wanted in {
            'train_dataloader.batch_size': name.batch,
            'auto_scale_lr.base_batch_size': step,
            'auto_scale_lr.enable': True,
            f'train_cfg.{length}': name.length,
        }.items()
    }
    path = 'optim_wrapper.accumulative_counts'
    facts[path] = (get(cfg, path, 1), name.accumulation)
    # What goes on from a good backbone has rates of its own.
    if name.head in BASE_LR and name.data != EMBEDDED_DATA and 'continued' not in name.words:
        path, wanted = 'optim_wrapper.optimizer.lr', BASE_LR[name.head] * step * name.accumulation / 256
        found = get(cfg, path, 0.0)
        facts[path] = (wanted if math.isclose(found, wanted, rel_tol=1e-9) else found, wanted)
    return facts


def _data(cfg: ConfigDict, name: ConfigName) -> dict[str, tuple[Any, Any]]:
    kind, classes = DATA[name.data]
    loaders = {key: cfg.get(key) for key in ('train_dataloader', 'test_dataloader')}
    if name.downstream and 'knn' in cfg:
        loaders = {key: cfg.knn[key] for key in ('bank_dataloader', 'query_dataloader')}
    facts: dict[str, tuple[Any, Any]] = {}
    for path, loader in loaders.items():
        dataset = (loader or {}).get('dataset', {})
        dataset = dataset.get('dataset', dataset)
        if dataset and name.data == EMBEDDED_DATA:
            facts[f'Shapes in {path}'] = ('shapes' in str(dataset.get('data_root')), True)
        elif dataset:
            facts[f'{path}.dataset.type'] = (stripped(dataset['type']), kind)
    for path, node in walk(cfg.get('model') or {}, 'model'):
        if classes and name.length and 'num_classes' in node:
            facts[f'{path}.num_classes'] = (node['num_classes'], classes)
    if name.crop:
        crops = [tuple(step['crop_size']) for step in _pipeline(cfg) if stripped(step['type']) == 'RandomCrop']
        facts['size of the training images'] = (
            {*crops, tuple(get(cfg, 'model.data_preprocessor.size', ()))},
            {name.crop},
        )
    return facts


def _check_words(cfg: ConfigDict, name: ConfigName) -> list[str]:
    problems = [
        f'the word {word!r} of the name is not one of {", ".join(WORDS)}' for word in name.words if word not in WORDS
    ]
    for word, holds in WORDS.items():
        # At full size all that trains downstream trains in bfloat16; there OpenMMLab's names say amp for UPerNet alone.
        said = word in name.words or (word == 'amp' and name.downstream and name.data != EMBEDDED_DATA)
        # The demo's pre-trainings measure kNN on the way.
        untold = word == 'knn' and name.data == EMBEDDED_DATA and not name.downstream
        if holds(cfg) and not said and not untold:
            problems.append(f'the config has what {word!r} stands for, its name does not')
        elif said and not holds(cfg) and name.length:
            problems.append(f'the name says {word!r}, the config does not have what it stands for')
    return problems


def _check_schedule(cfg: ConfigDict, name: ConfigName) -> list[str]:
    schedulers = cfg.get('param_scheduler') or []
    if not schedulers:
        return ['it has no param_scheduler']
    first, last, problems = schedulers[0], schedulers[-1], []
    if last.get('by_epoch', True) != name.by_epoch:
        return ['the last param_scheduler does not count as the training loop does']
    if last.get('end', name.length) != name.length:
        problems.append(f'param_scheduler ends at {last["end"]} of {name.length}')
    if len(schedulers) > 1 and first.get('by_epoch', True) == name.by_epoch and last.get('begin', 0) != first['end']:
        problems.append(f'after the warm-up, to {first["end"]}, param_scheduler goes on at {last.get("begin", 0)}')
    if any(drop >= name.length for drop in last.get('milestones', [])):
        problems.append(f'milestones {last["milestones"]} are not all before the end, {name.length}')
    if not name.by_epoch and get(cfg, 'default_hooks.checkpoint.by_epoch', True):
        problems.append('default_hooks.checkpoint counts epochs, and the run has none to count')
    return problems
