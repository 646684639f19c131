import logging

import pytest
import tiny_models
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODEL_WRAPPERS, MODELS, DefaultScope, init_default_scope
from torch import nn

from mmimg2vec import UserError
from mmimg2vec.engine.optim_wrappers import AutocastOptimWrapper
from mmimg2vec.models import ViTDet

ARCH = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)
BACKBONE = dict(type='mmimg2vec.ViTDet', arch=ARCH, img_size=64, window_size=2)
# 0.5 ** (L + 1 - i) for patch and position embedding (0), the three blocks, and all that comes after them.
RATES = {'embedding': 0.0625, 0: 0.125, 1: 0.25, 2: 0.5, 'rest': 1.0}


@pytest.fixture(autouse=True)
def scope():
    """Leaves mmengine's default scope as it was."""
    before = DefaultScope.get_current_instance()
    yield
    if before is not None:
        init_default_scope(before.scope_name)


def mask_rcnn():
    mmdet = pytest.importorskip('mmdet')
    pytest.importorskip('mmdet.models')
    init_default_scope('mmdet')
    return MODELS.build(tiny_models.mask_rcnn(mmdet, BACKBONE))


def upernet():
    mmseg = pytest.importorskip('mmseg')
    pytest.importorskip('mmseg.models')
    init_default_scope('mmseg')
    model = tiny_models.base_model(mmseg, 'upernet_r50.py')
    model.pretrained = None
    model.backbone = ConfigDict(BACKBONE, out_indices=[0, 1, 1, 2])
    model.neck = ConfigDict(type='Feature2Pyramid', embed_dim=16)
    model.decode_head.update(in_channels=[16] * 4, channels=8, num_classes=2)
    model.auxiliary_head.update(in_channels=16, channels=8, num_classes=2)
    return MODELS.build(model)


def classifier(**backbone):
    init_default_scope('mmpretrain')
    backbone = {'type': 'VisionTransformer', 'arch': ARCH, 'img_size': 64, **backbone}
    head = dict(type='VisionTransformerClsHead', in_channels=16, num_classes=2)
    return MODELS.build(dict(type='ImageClassifier', backbone=backbone, head=head))


def build(model, paramwise=None, **wrapper):
    paramwise = {'layer_decay_rate': 0.5, **(paramwise or {})}
    cfg = dict(
        constructor='mmimg2vec.LayerDecayOptimWrapperConstructor',
        paramwise_cfg=paramwise,
        optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.3),
    )
    return build_optim_wrapper(model, {**cfg, **wrapper})


def settings(wrapper, model):
    """Rate and weight decay of each parameter by name, found by the parameter itself and not by the group's names."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = [
        (names[id(parameter)], (group['lr'], group['weight_decay']))
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    ]
    assert len(found) == len(names) == len(dict(found))
    return dict(found)


def expected_rate(name):
    if name in ('backbone.pos_embed', 'backbone.cls_token') or 'patch_embed' in name:
        return RATES['embedding']
    if name.startswith('backbone.layers.'):
        return RATES[int(name.split('.')[2])]
    return RATES['rest']


@pytest.mark.parametrize('factory', [mask_rcnn, upernet, classifier])
def test_rates_are_those_computed_by_hand(factory):
    model = factory()
    rates = settings(build(model), model)
    for name, (lr, decay) in rates.items():
        assert lr == pytest.approx(0.1 * expected_rate(name)), name
        assert decay == pytest.approx(0.3), name
    assert len({lr for lr, _ in rates.values()}) == 5
    if factory is not classifier:
        assert rates['backbone.layers.1.attn.rel_pos_h'][0] == pytest.approx(0.025)
        assert {lr for name, (lr, _) in rates.items() if not name.startswith('backbone')} == {0.1}
    assert rates['backbone.ln1.weight'][0] == pytest.approx(0.1)


def test_weight_decay_of_norms_biases_and_positions():
    model = mask_rcnn()
    keys = {'pos_embed': dict(decay_mult=0.0), 'bbox_head': dict(lr_mult=3.0, decay_mult=0.5)}
    rates = settings(build(model, dict(norm_decay_mult=0, bias_decay_mult=2, custom_keys=keys)), model)
    expected = {
        'backbone.pos_embed': (0.00625, 0),
        'backbone.layers.0.ln1.weight': (0.0125, 0),
        'backbone.layers.0.ln1.bias': (0.0125, 0),
        'backbone.layers.0.attn.qkv.bias': (0.0125, 0.6),
        'backbone.layers.2.attn.qkv.weight': (0.05, 0.3),
        'roi_head.bbox_head.fc_reg.bias': (0.3, 0.15),
        'rpn_head.rpn_conv.weight': (0.1, 0.3),
    }
    for name, values in expected.items():
        assert rates[name] == pytest.approx(values), name
    norms = [n for n in rates if n.startswith('neck') and '.ln.' in n]
    assert norms and all(rates[name][1] == 0 for name in norms)


def test_equal_settings_share_a_group():
    wrapper = build(classifier())
    assert [len(group['params']) > 0 for group in wrapper.optimizer.param_groups] == [True] * 5
    for group in wrapper.optimizer.param_groups:
        assert len(group['params']) == len(group['param_names'])


def test_steps_as_the_rates_say():
    model = classifier()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = dict(type='SGD', lr=0.1, weight_decay=0.0)
    wrapper = build(model, optimizer=optimizer, type='mmimg2vec.AutocastOptimWrapper')
    assert isinstance(wrapper, AutocastOptimWrapper)
    wrapper.update_params(sum(parameter.sum() for parameter in model.parameters()))
    for name, parameter in model.named_parameters():
        step = (before[name] - parameter).abs().mean().item()
        assert step == pytest.approx(0.1 * expected_rate(name), rel=1e-2), name


class Wrapped(nn.Module):
    """What DistributedDataParallel looks like to a constructor."""

    def __init__(self, module):
        super().__init__()
        self.module = module


def test_wrappers_do_not_hide_layers(monkeypatch):
    monkeypatch.setitem(MODEL_WRAPPERS.module_dict, 'Wrapped', Wrapped)
    model = classifier()
    plain = settings(build(model), model)
    assert settings(build(Wrapped(model)), model) == plain
    for index, layer in enumerate(model.backbone.layers):
        model.backbone.layers[index] = Wrapped(layer)
    model.backbone = Wrapped(model.backbone)
    assert {name.replace('module.', ''): values for name, values in settings(build(model), model).items()} == plain


def test_synchronized_norms_are_norms():
    model = nn.SyncBatchNorm.convert_sync_batchnorm(upernet())
    options = dict(norm_decay_mult=0)
    synchronized = settings(build(model, options), model)
    model = revert_sync_batchnorm(model)
    assert settings(build(model, options), model) == synchronized
    assert synchronized['decode_head.fpn_bottleneck.bn.weight'] == (0.1, 0)


def test_frozen_parameters_are_left_out_and_shared_ones_counted_once():
    model = classifier(frozen_stages=1)
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    model.again = model.backbone.ln1
    listed = [id(p) for g in build(model).optimizer.param_groups for p in g['params']]
    assert set(listed) == trained and len(listed) == len(trained) < len(list(model.parameters()))


def test_one_line_tells_the_scales():
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        build(classifier())
    finally:
        logger.removeHandler(handler)
    (line,) = [line for line in lines if 'layer-wise' in line]
    assert '0.1 times' in line and '0: 0.0625, 1: 0.125, 2: 0.25, 3: 0.5, 4: 1' in line


@pytest.mark.parametrize(
    ('paramwise', 'optimizer', 'message'),
    [
        (dict(layer_decay_rate=1.5), {}, 'layer_decay_rate=1.5'),
        (dict(layer_decay_rate=None), {}, 'layer_decay_rate=None'),
        (dict(decay_rate=0.7), {}, 'paramwise_cfg.decay_rate is unknown'),
        ({}, dict(optimizer=dict(type='SGD', lr=0.1)), 'set both in optim_wrapper.optimizer'),
    ],
)
def test_mistakes_are_named(paramwise, optimizer, message):
    with pytest.raises(UserError, match=message):
        build(classifier(), paramwise, **optimizer)


@pytest.mark.parametrize('backbone', [dict(type='ResNet', depth=18), dict(type='MobileNetV2')])
def test_a_backbone_without_layers_is_named(backbone):
    init_default_scope('mmpretrain')
    model = MODELS.build(dict(type='ImageClassifier', backbone=backbone))
    with pytest.raises(UserError, match=f'{backbone["type"]} has no get_layer_depth'):
        build(model)


def test_a_bare_backbone():
    backbone = ViTDet(arch=ARCH, img_size=64)
    rates = settings(build(backbone), backbone)
    assert rates['layers.0.attn.qkv.weight'][0] == pytest.approx(0.0125)
    assert rates['pos_embed'][0] == pytest.approx(0.00625)
    with pytest.raises(UserError, match='Linear has no get_layer_depth'):
        build(nn.Linear(2, 2))
