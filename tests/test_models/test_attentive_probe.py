"""Attentive probing: a query that learns to read a backbone that nothing changes."""

import copy

import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.structures import DataSample
from torch import nn

from mmimg2vec import UserError
from mmimg2vec.models import AttentivePooling, FrozenVisionTransformer

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


def pooling(**kwargs):
    torch.manual_seed(0)
    module = AttentivePooling(24, num_heads=4, **kwargs)
    module.init_weights()
    for parameter in module.parameters():  # norms and biases have to make a difference
        nn.init.normal_(parameter)
    return module


@pytest.mark.parametrize('class_token', [True, False])
def test_is_torchs_attention(class_token):
    module = pooling(class_token=class_token).eval()
    part, tokens = module.attention, torch.randn(3, 10, 24)
    torchs = nn.MultiheadAttention(24, 4, batch_first=True)
    with torch.no_grad():
        torchs.in_proj_weight.copy_(torch.cat((part.query.weight, part.key.weight, part.value.weight)))
        torchs.in_proj_bias.copy_(torch.cat((part.query.bias, torch.zeros(24), part.value.bias)))
        torchs.out_proj.load_state_dict(part.proj.state_dict())
        read = tokens if class_token else tokens[:, 1:]
        query = part.norm_query(module.query_token).expand(3, -1, -1)
        wanted, _ = torchs(query, part.norm_key(read), part.norm_value(read))
        (found,) = module((tokens,))
    # The statistics of the batch norm are still 0 and 1.
    torch.testing.assert_close(found, wanted[:, 0] / (1 + 1e-6) ** 0.5, atol=1e-4, rtol=1e-5)


def test_the_last_output_is_read_and_normalized_over_the_batch():
    module = pooling()
    tokens = torch.randn(16, 10, 24)
    (found,) = module((torch.zeros(16, 10, 24), tokens))
    torch.testing.assert_close(found.mean(0), torch.zeros(24), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.std(0, unbiased=False), torch.ones(24), atol=1e-3, rtol=0)
    assert not module.bn.affine


def test_width_has_to_divide_into_heads():
    with pytest.raises(UserError, match='has to be divisible'):
        AttentivePooling(24, num_heads=5)


def probe():
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='mmpretrain.ImageClassifier',
            data_preprocessor=dict(type='mmpretrain.ClsDataPreprocessor'),
            backbone=dict(
                type='mmimg2vec.FrozenVisionTransformer',
                arch=ARCH,
                img_size=32,
                patch_size=16,
                drop_rate=0.5,
                drop_path_rate=0.5,
                layer_scale_init_value=0.1,
                out_type='raw',
            ),
            neck=dict(type='mmimg2vec.AttentivePooling', in_channels=24, num_heads=4),
            head=dict(
                type='mmpretrain.VisionTransformerClsHead',
                num_classes=3,
                in_channels=24,
                init_cfg=[dict(type='TruncNormal', layer='Linear', std=0.01)],
            ),
        )
    )
    model.init_weights()
    return model


def test_a_step_changes_the_probe_and_nothing_of_the_backbone():
    model = probe().train()
    before = copy.deepcopy(model.state_dict())
    # Weight decay, and every parameter: what has no gradient has to stay all the same.
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    samples = [DataSample().set_gt_label(index % 3) for index in range(6)]
    losses = model.loss(torch.randn(6, 3, 32, 32), samples)
    losses['loss'].backward()
    optimizer.step()
    for name, value in model.state_dict().items():
        changed = not torch.equal(value, before[name])
        assert changed == (not name.startswith('backbone.')), name
    assert not any(parameter.requires_grad for parameter in model.backbone.parameters())
    assert model.neck.query_token.grad.abs().sum() > 0
    assert model.head.layers.head.weight.grad.abs().sum() > 0


def test_the_backbone_is_never_in_training_mode():
    model, images = probe().train(), torch.randn(2, 3, 32, 32)
    assert model.neck.training and model.training
    assert not any(module.training for module in model.backbone.modules())
    first, second = model.backbone(images)[-1], model.backbone(images)[-1]
    assert torch.equal(first, second) and not first.requires_grad


def test_the_backbone_is_the_plain_one():
    frozen = FrozenVisionTransformer(arch=ARCH, img_size=32, out_type='raw')
    plain = VisionTransformer(arch=ARCH, img_size=32, out_type='raw')
    plain.eval()
    plain.load_state_dict(frozen.state_dict())
    images = torch.randn(2, 3, 48, 32)
    assert torch.equal(frozen(images)[-1], plain(images)[-1])
