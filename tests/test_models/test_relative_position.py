"""Relative position bias in every block: values, starting point, loading, rates."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.utils import BEiTAttention
from torch import nn

from mmimg2vec import UserError
from mmimg2vec.checkpoint.fill import fill
from mmimg2vec.models import RelativePositionVisionTransformer
from mmimg2vec.models.layers.relative_position import position_bias

ARCH = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
KWARGS = dict(arch=ARCH, img_size=64, patch_size=16, layer_scale_init_value=0.1)
TABLE = 'attn.relative_position_bias_table'


def build(kind=RelativePositionVisionTransformer, seed=0, **kwargs):
    torch.manual_seed(seed)
    backbone = kind(**{**KWARGS, **kwargs})
    backbone.init_weights()
    for name, parameter in backbone.named_parameters():
        if 'table' not in name:
            nn.init.normal_(parameter, std=0.1)
    backbone.eval()
    return backbone


@pytest.mark.parametrize('out_type', ['raw', 'cls_token', 'featmap', 'avg_featmap'])
def test_with_tables_at_zero_it_is_the_parent(out_type):
    backbone, parent = build(out_type=out_type), build(VisionTransformer, out_type=out_type)
    report = fill(backbone, parent.state_dict(), allow_missing=backbone.new_parameters)
    assert len(report.new) == 3 and all(name.endswith(TABLE) for name in report.new)
    assert not any(layer.attn.relative_position_bias_table.any() for layer in backbone.layers)
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(backbone(images)[-1], parent(images)[-1])


@pytest.mark.parametrize('grid', [(3, 3), (2, 4)])
def test_attention_is_beits(grid):
    """mmpretrain's attention of BEiT, with the same table, gives the same tokens."""
    reference = BEiTAttention(32, 2, grid, use_rel_pos_bias=True, bias=True).eval()
    backbone = build(img_size=(16 * grid[0], 16 * grid[1]), layer_scale_init_value=0.0)
    attention = backbone.layers[0].attn
    for name in ('qkv', 'proj'):
        getattr(attention, name).load_state_dict(getattr(reference, name).state_dict())
    nn.init.normal_(reference.relative_position_bias_table)
    attention.relative_position_bias_table.data.copy_(reference.relative_position_bias_table)
    tokens = torch.randn(2, 1 + grid[0] * grid[1], 32)
    torch.testing.assert_close(attention(tokens), reference(tokens))
    without = torch.zeros_like(attention.relative_position_bias_table)
    attention.relative_position_bias_table.data.copy_(without)
    assert not torch.allclose(attention(tokens), reference(tokens), atol=1e-2)


def test_another_grid():
    """A table that is linear in the distances stays so between them; the class token's rows are kept."""
    rows = torch.arange(-3.0, 4)
    table = torch.cat(((rows[:, None] + 10 * rows).flatten(), torch.tensor([100.0, 200, 300])))[:, None]
    bias = position_bias(table, (4, 4), (7, 7), True)[0]
    assert bias.shape == (50, 50)
    assert (bias[0, 1:] == 100).all() and (bias[1:, 0] == 200).all() and bias[0, 0] == 300
    scale = 7 / 13  # 13 distances in place of 7
    center = 25  # row 3, column 3
    assert bias[center, center] == pytest.approx(0, abs=1e-4)
    assert bias[center, center - 7] == pytest.approx(scale, rel=0.02)  # a row below the key
    assert bias[center, center - 1] == pytest.approx(10 * scale, rel=0.02)
    backbone = build(out_type='featmap')
    nn.init.normal_(backbone.layers[0].attn.relative_position_bias_table)
    assert backbone(torch.randn(1, 3, 96, 32))[-1].shape == (1, 32, 6, 2)


def test_the_final_norm_becomes_the_norm_after_the_mean():
    source = build(VisionTransformer, seed=1)
    classifier = build(out_type='avg_featmap', final_norm=False)
    report = fill(classifier, source.state_dict(), allow_missing=classifier.new_parameters)
    assert {'ln2.weight', 'ln2.bias'} <= set(report.filled) and not report.unused
    assert torch.equal(classifier.ln2.weight, source.ln1.weight) and torch.equal(classifier.ln2.bias, source.ln1.bias)
    # Its own checkpoint, in which both may stand, is taken as it is.
    own = {**classifier.state_dict(), 'ln2.weight': torch.full((32,), 7.0)}
    classifier.load_state_dict(own)
    assert (classifier.ln2.weight == 7).all()


def test_training_reaches_the_tables_and_leaves_fixed_positions():
    backbone = build(fixed_positions=True)
    before = backbone.pos_embed.clone()
    backbone(torch.randn(2, 3, 64, 64))[-1].square().sum().backward()
    for layer in backbone.layers:
        assert layer.attn.relative_position_bias_table.grad.abs().max() > 0
    assert backbone.pos_embed.grad is None and torch.equal(before, backbone.pos_embed)


def test_rates_and_decay_of_the_tables():
    model = nn.Module()
    model.backbone = build(fixed_positions=True)
    wrapper = build_optim_wrapper(
        model,
        dict(
            constructor='mmimg2vec.LayerDecayOptimWrapperConstructor',
            paramwise_cfg=dict(layer_decay_rate=0.5, norm_decay_mult=0.0, bias_decay_mult=0.0),
            optimizer=dict(type='AdamW', lr=0.8, weight_decay=0.05),
        ),
    )
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {
        names[id(parameter)]: (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    }
    rates = {name: values for name, values in found.items() if name.endswith(TABLE)}
    assert rates == {f'backbone.layers.{i}.{TABLE}': (pytest.approx(0.1 * 2**i), 0.05) for i in range(3)}


def test_a_mistake_is_named():
    with pytest.raises(UserError, match=r'model.backbone cannot be built'):
        RelativePositionVisionTransformer(arch='unknown')
