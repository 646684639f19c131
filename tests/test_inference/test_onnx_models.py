"""Classifiers and segmenters as ONNX graphs."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmimg2vec.errors import UserError
from mmimg2vec.inference.onnx_models import export_model

BACKBONE = dict(
    type='mmpretrain.VisionTransformer',
    arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32),
    img_size=32,
    patch_size=8,
    out_type='featmap',
)
PREPROCESSING = dict(mean=[127.5, 0.0, 255.0], std=[51.0, 51.0, 51.0])
NORM = dict(type='SyncBN', requires_grad=True)


def classifier(**backbone):
    return dict(
        default_scope='mmpretrain',
        model=dict(
            type='ImageClassifier',
            backbone={**BACKBONE, 'out_type': 'cls_token', **backbone},
            head=dict(type='LinearClsHead', num_classes=3, in_channels=16),
            data_preprocessor=dict(**PREPROCESSING, to_rgb=True, num_classes=3),
        ),
    )


def segmenter(head):
    pytest.importorskip('mmseg')
    heads = dict(
        linear=dict(
            neck=dict(type='mmimg2vec.FeatureNorm', in_channels=16, norm_cfg=NORM),
            decode_head=dict(
                type='FCNHead', in_channels=16, in_index=0, channels=16, num_convs=0, concat_input=False, num_classes=3
            ),
        ),
        upernet=dict(
            neck=dict(type='Feature2Pyramid', embed_dim=16, rescales=[4, 2, 1, 0.5], norm_cfg=NORM),
            decode_head=dict(
                type='UPerHead',
                in_channels=[16] * 4,
                in_index=[0, 1, 2, 3],
                pool_scales=(1, 2, 3, 6),
                channels=8,
                num_classes=3,
                norm_cfg=NORM,
                align_corners=False,
            ),
        ),
    )
    many = dict(out_indices=(0, 0, 1, 1)) if head == 'upernet' else {}
    backbone = dict(BACKBONE, **many)
    if head == 'upernet':
        backbone['arch'] = dict(BACKBONE['arch'], num_layers=4)
        backbone['out_indices'] = (0, 1, 2, 3)
    preprocessor = dict(type='SegDataPreProcessor', **PREPROCESSING, bgr_to_rgb=True, size=(32, 32))
    model = dict(type='EncoderDecoder', backbone=backbone, data_preprocessor=preprocessor, **heads[head])
    return dict(default_scope='mmseg', model=dict(model, train_cfg=dict(), test_cfg=dict(mode='whole')))


def trained(config, folder):
    cfg = Config(config)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    for value in model.parameters():
        value.data.normal_(0.1, 0.3)
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, folder / 'trained.pth')
    return cfg, model.eval()


@pytest.mark.parametrize('name', ['classifier', 'linear', 'upernet'])
def test_the_graph_computes_the_same_at_sizes_that_were_not_compared(name, tmp_path):
    runtime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnx')
    cfg, model = trained(classifier() if name == 'classifier' else segmenter(name), tmp_path)
    result = export_model(cfg, tmp_path / 'trained.pth', tmp_path / 'model.onnx')
    assert result['any_size'] and result['mean'] == [0.5, 0.0, 1.0] and result['channel_order'] == 'RGB'
    assert max(parity['max_difference'] for parity in result['parity']) < 1e-4
    session = runtime.InferenceSession(str(tmp_path / 'model.onnx'), providers=['CPUExecutionProvider'])
    images = torch.randn(3, 3, 64, 24)
    (scores,) = session.run(None, {'images': images.numpy()})
    with torch.no_grad():
        if name == 'classifier':
            expected = model.head.fc(model.backbone(images)[-1])
        else:
            expected = model.encode_decode(images, [dict(img_shape=(64, 24), ori_shape=(64, 24))] * 3)
    torch.testing.assert_close(torch.from_numpy(scores), expected, atol=1e-4, rtol=0)


def test_a_network_of_one_size_fixes_it(tmp_path, monkeypatch):
    runtime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnx')
    cfg, _ = trained(classifier(), tmp_path)
    monkeypatch.setattr('mmimg2vec.inference.onnx_models._runs', lambda *args: False)
    result = export_model(cfg, tmp_path / 'trained.pth', tmp_path / 'model.onnx')
    assert not result['any_size'] and [parity['img_size'] for parity in result['parity']] == [(32, 32)] * 2
    session = runtime.InferenceSession(str(tmp_path / 'model.onnx'), providers=['CPUExecutionProvider'])
    assert session.get_inputs()[0].shape[1:] == [3, 32, 32]


def test_what_onnx_cannot_express_is_one_line(tmp_path):
    pytest.importorskip('onnxruntime')
    pytest.importorskip('onnx')
    cfg, _ = trained(classifier(type='mmimg2vec.RelativePositionVisionTransformer'), tmp_path)
    with pytest.raises(UserError, match=r'opset 17 of ONNX cannot express the network .*cartesian_prod'):
        export_model(cfg, tmp_path / 'trained.pth', tmp_path / 'model.onnx')


def test_what_is_not_exported(tmp_path):
    with pytest.raises(UserError, match='detectors need operators of mmcv'):
        export_model(Config(dict(default_scope='mmdet', model={})), 'x.pth', tmp_path / 'model.onnx')
    with pytest.raises(UserError, match=r'NAME\.onnx'):
        export_model(Config(classifier()), 'x.pth', tmp_path / 'model.pth')
