"""The lines that the documentation offers for other people's code, executed as they stand."""

import json
import textwrap
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from tiny_vit import random_vit

from mmimg2vec.checkpoint import backbone_file
from mmimg2vec.checkpoint.backbone_file import backbone_config
from mmimg2vec.checkpoint.export import export_backbone

ROOT = Path(__file__).resolve().parents[2]
DEEP = dict(embed_dims=16, num_layers=12, num_heads=2, feedforward_channels=32)
VIT = dict(arch=DEEP, img_size=32, patch_size=16)


def snippet(library):
    """The indented block of the package's documentation under the paragraph that begins with a name."""
    paragraphs = backbone_file.__doc__.split('\n\n')
    index = next(i for i, text in enumerate(paragraphs) if text.startswith(library))
    return textwrap.dedent(paragraphs[index + 1])


@pytest.fixture
def folder(save, tmp_path, monkeypatch):
    model = random_vit(**VIT)
    save(model, config=VIT)
    monkeypatch.chdir(tmp_path)
    return model


def build(scope, cfg):
    from mmengine.registry import HOOKS, MODELS

    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(cfg.model)
        model.init_weights()
        # A vision transformer is trained with AdamW, lower layers more slowly, and from the whole of its weights.
        groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
        hook = HOOKS.build(cfg.custom_hooks[0])
    rates = {group['lr'] for group in groups}
    assert min(rates) == pytest.approx(1e-4 * 0.7**13) and max(rates) == 1e-4 and hook.module == 'backbone'
    return model


def same_blocks(found, expected):
    expected = expected.state_dict()
    for key, value in found.state_dict().items():
        if key != 'pos_embed':  # resized
            assert torch.equal(value, expected[key]), key
    assert torch.equal(found.pos_embed[:, 0], expected['pos_embed'][:, 0])


def test_mmdet(folder, tmp_path):
    pytest.importorskip('mmdet')
    text = """
default_scope = 'mmdet'
model = dict(
    type='RetinaNet',
    backbone=dict(type='ResNet', depth=18, num_stages=4, out_indices=(0, 1, 2, 3)),
    neck=dict(type='FPN', in_channels=[64, 128, 256, 512], out_channels=256, num_outs=5),
    bbox_head=dict(
        type='RetinaHead', num_classes=2, in_channels=256, stacked_convs=1, feat_channels=8,
        anchor_generator=dict(type='AnchorGenerator', scales=[8], ratios=[1.0], strides=[4, 8, 16, 32, 64]),
    ),
)
"""
    (tmp_path / 'mask-rcnn.py').write_text(text)
    scope = {'Config': Config, 'backbone_config': backbone_config}
    exec(snippet('mmdetection'), scope)
    model = build('mmdet', scope['cfg'])
    same_blocks(model.backbone, folder)
    model.eval()
    with torch.no_grad():
        sizes = [tuple(level.shape) for level in model.extract_feat(torch.randn(1, 3, 64, 64))]
    assert sizes == [(1, 256, side, side) for side in (16, 8, 4, 2, 1)]


def test_mmseg(folder, tmp_path):
    pytest.importorskip('mmseg')
    text = """
default_scope = 'mmseg'
head = dict(channels=8, num_classes=3, align_corners=False)
model = dict(
    type='EncoderDecoder',
    pretrained='open-mmlab://resnet50_v1c',
    backbone=dict(type='ResNetV1c', depth=18),
    decode_head=dict(type='UPerHead', in_channels=[64, 128, 256, 512], in_index=[0, 1, 2, 3], **head),
    auxiliary_head=dict(type='FCNHead', in_channels=256, in_index=2, num_convs=1, **head),
    test_cfg=dict(mode='whole'),
)
"""
    (tmp_path / 'upernet.py').write_text(text)
    scope = {'Config': Config, 'backbone_config': backbone_config}
    exec(snippet('mmsegmentation'), scope)
    model = build('mmseg', scope['cfg'])
    same_blocks(model.backbone, folder)
    model.eval()
    with torch.no_grad():
        maps = model.extract_feat(torch.randn(1, 3, 64, 64))
        assert model.decode_head(maps).shape == (1, 3, 16, 16)
        assert model.auxiliary_head(maps).shape == (1, 3, 4, 4)


def test_timm(folder, tmp_path):
    timm = pytest.importorskip('timm')
    pytest.importorskip('safetensors.torch')
    import safetensors

    export_backbone(tmp_path / 'backbone.pth', tmp_path / 'vit.safetensors', 'timm')
    scope = {'json': json, 'timm': timm, 'safetensors': safetensors}
    exec(snippet('timm'), scope)
    images = torch.randn(1, 3, 32, 32)
    model = scope['model'].eval()
    with torch.no_grad():
        expected = folder(images)[-1]
        assert (model.forward_features(images) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_the_page_has_the_same_lines():
    page = (ROOT / 'docs' / 'downstream.md').read_text(encoding='utf-8')
    for library in ('mmdetection', 'mmsegmentation', 'timm'):
        assert snippet(library).strip() in page
