"""What the optimizers of the shipped recipes do, in numbers: decayed parameters, rates at the end, steps."""

import copy

import pytest
import torch
from check_configs import ROOT
from config_checks.consistency import build_without_memory
from config_checks.files import find_configs
from config_checks.nodes import train_dataset
from config_checks.types import check_types
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, init_default_scope
from torch import nn

FILES = {file.stem: file for file in find_configs(ROOT)}
HUGE = 'vitdet-huge-p16-sfp_64xb1-lsj-75e_coco'


def read(stem):
    cfg = Config.fromfile(FILES[stem])
    check_types(cfg._cfg_dict, cfg.get('default_scope'))  # imports what the scope registers
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    return cfg


def groups_by_name(stem):
    """Model and parameter groups of the built optimizer, by name of the parameter."""
    cfg = read(stem)
    model = build_without_memory(cfg)
    wrapper = build_optim_wrapper(model, copy.deepcopy(cfg.optim_wrapper))
    groups = {id(p): group for group in wrapper.optimizer.param_groups for p in group['params']}
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return model, {name: groups[id(p)] for name, p in trained.items()}, trained


@pytest.mark.parametrize(
    ('stem', 'decayed_tokens'),
    [
        ('cae-v2_vit-base-p16_8xb256-amp-coslr-300e_in1k', {'backbone.cls_token', 'neck.mask_token'}),
        ('mff_vit-base-p16_8xb512-amp-coslr-300e_in1k', {'fusion.proj_weights'}),
        ('img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k', {'fusion.proj_weights'}),
    ],
)
def test_decayed_parameters_of_pre_training(stem, decayed_tokens):
    """CAE v2 spares one-dimensional parameters alone; MFF decays the shares of its fusion, and no token."""
    _, groups, parameters = groups_by_name(stem)
    decayed = {name for name, group in groups.items() if group['weight_decay'] == 0.05}
    assert {groups[name]['weight_decay'] for name in set(groups) - decayed} == {0.0}
    assert decayed == {name for name, p in parameters.items() if p.ndim in (2, 4)} | decayed_tokens


@pytest.mark.parametrize('stem', [f'mask-rcnn_{HUGE}', f'cascade-mask-rcnn_{HUGE}'])
def test_vitdet_h_decays_norms_and_positions(stem):
    pytest.importorskip('mmdet')
    _, groups, _ = groups_by_name(stem)
    assert {group['weight_decay'] for group in groups.values()} == {0.1}
    base = stem.replace('huge', 'base').replace('75e', '100e')
    _, groups, _ = groups_by_name(base)
    spared = {name for name, group in groups.items() if group['weight_decay'] == 0}
    assert 'backbone.pos_embed' in spared and 'backbone.layers.0.ln1.weight' in spared
    assert 'backbone.layers.0.attn.qkv.bias' not in spared


@pytest.mark.parametrize(
    ('stem', 'heads', 'decay', 'depth'),
    [
        ('vit-base-p16_8xb128-coslr-100e_in1k', 2e-3, 0.65, 12),
        ('vit-large-p16_8xb128-coslr-50e_in1k', 4e-3, 0.75, 24),
        ('vit-base-p16_cae-v2-pre_8xb128-coslr-100e_in1k', 2e-4, 0.75, 12),
        ('vit-large-p16_cae-v2-pre_8xb128-coslr-50e_in1k', 2e-4, 0.8, 24),
        ('vit-small-h12-p16_cae-v2-pre_8xb128-coslr-200e_in1k', 4e-4, 0.75, 12),
        ('vit-tiny-h12-p16_cae-v2-pre_8xb128-coslr-100e_in1k', 4e-3, 0.85, 12),
    ],
)
def test_rates_at_the_last_epoch_are_layer_wise(stem, heads, decay, depth):
    """The floor of 1e-6 is that of the heads; layer i ends at 1e-6 times its own share."""
    cfg = read(stem)
    _, last = cfg.param_scheduler
    names = ['patch_embed', *range(depth), 'head']
    shares = [decay ** (depth + 1 - index) for index in range(depth + 2)]
    modules = [nn.Parameter(torch.zeros(1)) for _ in names]
    groups = [dict(params=[p], lr=heads * share) for p, share in zip(modules, shares, strict=True)]
    optimizer = torch.optim.AdamW(groups)
    length = last.end - last.begin
    settings = {k: v for k, v in last.items() if k not in ('type', 'by_epoch', 'begin', 'end', 'convert_to_iter_based')}
    cosine = PARAM_SCHEDULERS.get(last.type)(optimizer, begin=0, end=length + 1, T_max=length, **settings)
    for _ in range(length):
        optimizer.step()
        cosine.step()
    rates = [group['lr'] for group in optimizer.param_groups]
    assert rates == pytest.approx([1e-6 * share for share in shares], rel=1e-4)
    assert rates[-1] == pytest.approx(1e-6, rel=1e-4)


def test_lars_steps_are_the_official_ones():
    """Two steps of the linear probe's head against LARS written out: the bias learns at the plain rate."""
    cfg = read('vit-base-p16_8xb2048-linear-coslr-90e_in1k')
    torch.manual_seed(0)
    model = nn.Module()
    model.head = nn.Linear(8, 3)
    nn.init.normal_(model.head.bias)
    wrapper = build_optim_wrapper(model, copy.deepcopy(cfg.optim_wrapper))
    rate, momentum, trust = 6.4, 0.9, 0.001
    wanted = {name: p.detach().clone() for name, p in model.named_parameters()}
    buffers = {name: torch.zeros_like(p) for name, p in wanted.items()}
    for _ in range(2):
        for name, p in model.named_parameters():
            p.grad = torch.randn_like(p)
            update = p.grad
            if p.ndim > 1:
                update = update * trust * wanted[name].norm() / update.norm()
            buffers[name] = momentum * buffers[name] + rate * update
            wanted[name] = wanted[name] - buffers[name]
        wrapper.optimizer.step()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach(), wanted[name])


def test_the_attentive_probe_is_trained_with_nesterov():
    cfg = read('vit-base-p16_8xb1024-attentive-coslr-90e_in1k')
    optimizer = build_optim_wrapper(nn.Linear(2, 2), copy.deepcopy(cfg.optim_wrapper)).optimizer
    assert optimizer.defaults['nesterov'] and optimizer.defaults['momentum'] == 0.9
    assert optimizer.defaults['lr'] == 0.4 and optimizer.defaults['weight_decay'] == 0
    assert MODELS.build(cfg.model.neck).bn.eps == 1e-5


def test_cascade_losses_are_unweighted_l1():
    pytest.importorskip('mmdet')
    cfg = read('cascade-mask-rcnn_vitdet-base-p16-sfp_64xb1-lsj-100e_coco')
    heads = cfg.model.roi_head
    assert list(heads.stage_loss_weights) == [1, 1, 1]
    assert [head.loss_bbox.type for head in heads.bbox_head] == ['L1Loss'] * 3
    for name in ('bbox_roi_extractor', 'mask_roi_extractor'):
        scaled = MODELS.build(heads[name])
        plain = {k: v for k, v in heads[name].items() if k != 'gradient_scale'}
        plain = MODELS.build({**plain, 'type': 'mmdet.SingleRoIExtractor'})
        levels = [torch.randn(1, 256, 64 // 2**i, 64 // 2**i, requires_grad=True) for i in range(4)]
        rois = torch.tensor([[0.0, 8, 8, 120, 90]])
        found, wanted = scaled(levels, rois), plain(levels, rois)
        torch.testing.assert_close(found, wanted)
        weights = torch.randn_like(found)
        ours = torch.autograd.grad((found * weights).sum(), levels[0])[0]
        theirs = torch.autograd.grad((wanted * weights).sum(), levels[0])[0]
        torch.testing.assert_close(ours, theirs / 3)
        assert ours.abs().max() > 0


def test_fine_tuning_of_cae_v2_is_the_official_codes():
    stems = [stem for stem in FILES if '_cae-v2-pre_' in stem]
    assert len(stems) == 4
    for stem in stems:
        cfg = read(stem)
        augment = next(step for step in train_dataset(cfg._cfg_dict).pipeline if step.type == 'RandAugment')
        assert (augment.magnitude_level, augment.num_policies, augment.magnitude_std) == (9, 2, 0.5)
        model = build_without_memory(cfg)
        tables = [p for name, p in model.named_parameters() if name.endswith('relative_position_bias_table')]
        assert {tuple(p.shape) for p in tables} == {(27 * 27 + 3, tables[0].shape[1])}
        assert len(tables) == model.backbone.num_layers and not model.backbone.pos_embed.requires_grad


def test_both_crops_of_cae_v2_are_pillows():
    crop = train_dataset(read('cae-v2_vit-base-p16_8xb256-amp-coslr-300e_in1k')._cfg_dict).pipeline[1]
    assert (crop.backend, crop.interpolation) == ('pillow', 'bicubic')
