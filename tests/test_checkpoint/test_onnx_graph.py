"""Backbones as ONNX graphs. Without onnx and onnxruntime, which are optional, what says so is tested alone."""

import json
import sys

import pytest
import torch
from tiny_vit import ARCH, random_vit
from torch import nn

from mmimg2vec.checkpoint.export import export_backbone
from mmimg2vec.checkpoint.onnx_graph import OPSET, TraceableAdaptivePool, write_onnx
from mmimg2vec.errors import UserError


@pytest.fixture
def runtime():
    pytest.importorskip('onnx')
    return pytest.importorskip('onnxruntime')


@pytest.mark.parametrize('options', [{}, dict(layer_scale_init_value=0.1), dict(with_cls_token=False)], ids=str)
def test_a_graph_takes_batches_and_images_of_any_size(save, tmp_path, runtime, options):
    model, target = random_vit(**options), tmp_path / 'vit.onnx'
    source = save(model, config=dict(arch=ARCH, img_size=32, patch_size=8, **options))
    metadata = export_backbone(source, target, 'onnx')
    assert [tuple(each['img_size']) for each in metadata['parity']] == [(32, 32)] * 2 + [(48, 40)] * 2
    assert max(each['max_difference'] for each in metadata['parity']) < 1e-4
    assert json.loads((tmp_path / 'vit.onnx.json').read_text())['opset'] == OPSET
    session = runtime.InferenceSession(str(target), providers=['CPUExecutionProvider'])
    for shape in ((3, 3, 32, 32), (1, 3, 64, 24)):  # neither of those that the export has compared
        images = torch.randn(shape)
        with torch.no_grad():
            expected = model(images)[-1]
        (found,) = session.run(None, {'images': images.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=0)


def test_a_difference_leaves_no_file(save, tmp_path, runtime, monkeypatch):
    source = save(random_vit())
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr('mmimg2vec.checkpoint.onnx_graph.TOLERANCE', 1e-12)
    with pytest.raises(UserError, match=r'nothing is written: of \d images of .* px the outputs .* differ'):
        export_backbone(source, tmp_path / 'vit.onnx', 'onnx')
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize('opset', [11, 99])
def test_an_opset_that_cannot_express_the_network_is_one_line(save, tmp_path, runtime, opset, capfd):
    with pytest.raises(UserError, match=rf'opset {opset} of ONNX cannot express .* take --opset {OPSET}'):
        export_backbone(save(random_vit()), tmp_path / 'vit.onnx', 'onnx', opset=opset)
    assert capfd.readouterr().out == ''  # and no graph of a thousand lines


def test_a_single_size_is_fixed(tmp_path, runtime):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    write_onnx(network, tmp_path / 'a.onnx', [(8, 8)], 3, 'scores')
    session = runtime.InferenceSession(str(tmp_path / 'a.onnx'), providers=['CPUExecutionProvider'])
    assert session.get_inputs()[0].shape[1:] == [3, 8, 8]


def test_too_large_for_one_file(tmp_path, monkeypatch, runtime):
    monkeypatch.setattr('mmimg2vec.checkpoint.onnx_graph._LARGEST', 1000)
    with pytest.raises(UserError, match='one ONNX file holds less than 2'):
        write_onnx(nn.Conv2d(3, 40, 3), tmp_path / 'a.onnx', [(8, 8)], 3, 'scores')


@pytest.mark.parametrize('package', ['onnx', 'onnxruntime'])
def test_a_missing_package_is_one_line(save, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match='run: pip install onnx onnxruntime'):
        export_backbone(save(random_vit()), tmp_path / 'vit.onnx', 'onnx')
    assert not list(tmp_path.glob('vit*'))


@pytest.mark.parametrize('size', [(16, 16), (7, 13), (3, 6), (2, 5), (64, 41)])
def test_the_pool_averages_over_the_same_cells(size):
    maps = torch.randn(2, 3, *size)
    expected = nn.AdaptiveAvgPool2d((3, 6))(maps)
    torch.testing.assert_close(TraceableAdaptivePool((3, 6))(maps), expected, atol=1e-5, rtol=0)
