"""Whether the parts of a downstream config fit at full size, worked out on the meta device: no memory, no weights."""

from __future__ import annotations

import copy
import math
import re

import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from config_checks.consistency import build_without_memory
from config_checks.names import DETECTORS, EMBEDDED_DATA, ConfigName
from mmimg2vec.errors import UserError

NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)


def check_benchmark_model(cfg: ConfigDict, name: ConfigName) -> list[str]:
    """Build the network on the meta device, pass an image through it, and look at what its optimizer would do."""
    try:
        model = build_without_memory(cfg)
    except (UserError, KeyError, TypeError, ValueError, AssertionError) as error:
        return [f'the model cannot be built: {type(error).__name__}: {error}']
    if name.kind == 'resnet':
        return []  # a convolutional teacher of the demo, which the meta device cannot build
    model.eval()
    checks = {None: _check_classifier, 'upernet': _check_segmenter, 'fcn': _check_segmenter}
    check = _check_detector if name.head in DETECTORS else checks[name.head]
    try:
        with torch.device('meta'), torch.no_grad():
            problems = check(cfg, model)
    except RuntimeError as error:
        problems = [f'the parts do not fit: {str(error).splitlines()[0]}']
    if cfg.get('optim_wrapper'):
        problems += _check_optimizer(
            cfg, model, name.data != EMBEDDED_DATA and (name.kind, name.size) != ('vitdet', 'huge')
        )
    return problems


def _check_classifier(cfg: ConfigDict, model: nn.Module) -> list[str]:
    side = cfg.model.backbone.img_size
    images = torch.zeros(2, 3, side, side)
    if model.head is None:
        shape, wanted = model.extract_feat(images)[-1].shape, (2, 1 + _tokens(model), _width(model))
    else:
        shape, wanted = model(images, mode='tensor').shape, (2, cfg.model.head.num_classes)
    return [] if tuple(shape) == wanted else [f'the output is {tuple(shape)}, not {wanted}']


def _check_segmenter(cfg: ConfigDict, model: nn.Module) -> list[str]:
    images = torch.zeros(2, 3, *cfg.model.data_preprocessor.size)
    features = model.extract_feat(images)
    problems = []
    for head in (model.decode_head, getattr(model, 'auxiliary_head', None)):
        if head is None:
            continue
        scores = head(features)
        if scores.shape[:2] != (2, head.num_classes):
            problems.append(f'{type(head).__name__} gives {tuple(scores.shape)}')
    return problems


def _check_detector(cfg: ConfigDict, model: nn.Module) -> list[str]:
    side = cfg.model.backbone.img_size
    levels = model.extract_feat(torch.zeros(2, 3, side, side))
    strides = cfg.model.rpn_head.anchor_generator.strides
    problems = [
        f'level {index} of the pyramid has stride {side / level.shape[-1]:g}, the RPN expects {stride}'
        for index, (level, stride) in enumerate(zip(levels, strides, strict=False))
        if level.shape[-1] != math.ceil(side / stride)
    ]
    if len(levels) != len(strides):
        problems.append(f'the pyramid has {len(levels)} levels, the RPN {len(strides)}')
    model.rpn_head(levels)
    heads = cfg.model.roi_head
    for kind, module in (('bbox', model.roi_head.bbox_head), ('mask', model.roi_head.mask_head)):
        extractor = heads[f'{kind}_roi_extractor']
        channels, size = extractor.out_channels, extractor.roi_layer.output_size
        if list(extractor.featmap_strides) != list(strides)[: len(extractor.featmap_strides)]:
            problems.append(f'{kind}_roi_extractor.featmap_strides are not those of the RPN')
        for head in module if isinstance(module, nn.ModuleList) else [module]:
            head(torch.zeros(3, channels, size, size))
    return problems


def _width(model: nn.Module) -> int:
    return model.backbone.embed_dims


def _tokens(model: nn.Module) -> int:
    return math.prod(model.backbone.patch_resolution)


def _check_optimizer(cfg: ConfigDict, model: nn.Module, spares_positions: bool) -> list[str]:
    """Whether each parameter has the rate of its depth and the weight decay of its kind.

    Short runs on the embedded data, and ViTDet-H, decay the position embedding too.
    """
    wrapper = build_optim_wrapper(model, copy.deepcopy(cfg.optim_wrapper))
    groups = {id(p): group for group in wrapper.optimizer.param_groups for p in group['params']}
    base, options = cfg.optim_wrapper.optimizer, cfg.optim_wrapper.get('paramwise_cfg', {})
    norms = {id(p) for module in model.modules() if isinstance(module, NORMS) for p in module.parameters()}
    exempt = re.compile('|'.join(map(re.escape, options.get('custom_keys', {}))) or '$^')
    depth, rate = len(model.backbone.layers), options.get('layer_decay_rate', 1.0)
    problems = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        group = groups[id(parameter)]
        layer = re.match(r'backbone\.(?:layers\.(\d+)\.|patch_embed|pos_embed|cls_token)', name)
        above = 0 if layer is None else depth - int(layer[1]) if layer[1] else depth + 1
        # LARS has a group for all; AdamW one for each rate and decay.
        if rate != 1 and not math.isclose(group['lr'], base.lr * rate**above, rel_tol=1e-6):
            problems.append(f'{name} has the learning rate {group["lr"]:g}, not {base.lr * rate**above:g}')
        free = (
            (id(parameter) in norms and options.get('norm_decay_mult') == 0)
            or (name.endswith('.bias') and options.get('bias_decay_mult') == 0)
            or exempt.search(name)
        )
        if group['weight_decay'] != (0.0 if free else base.weight_decay):
            problems.append(f'{name} has the weight decay {group["weight_decay"]}')
        if spares_positions and name.endswith('pos_embed') and group['weight_decay']:
            problems.append(f'{name} has a weight decay')
    return problems
