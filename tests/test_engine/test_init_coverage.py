"""A downstream run starts from the whole backbone, or names what is wrong before its first step."""

import copy

import downstream
import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.models.backbones import ResNet, VisionTransformer

from mmimg2vec.checkpoint.coverage import measure_coverage, pretrained_cfg
from mmimg2vec.checkpoint.fill import fill_module
from mmimg2vec.engine.hooks.init_coverage import check_coverage, describe
from mmimg2vec.errors import UserError
from mmimg2vec.models.backbones.vitdet import ViTDet


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    return downstream.small_shapes(tmp_path_factory.mktemp('data'))


@pytest.fixture
def file(tmp_path):
    return downstream.pretrained(tmp_path / 'backbone.pth')


def vit(**kwargs):
    settings = dict(arch=downstream.ARCH, img_size=32, patch_size=8)
    return VisionTransformer(**{**settings, **kwargs})


def refuse(module, path, prefix='backbone.'):
    with pytest.raises(UserError) as error:
        check_coverage(measure_coverage(module, str(path), prefix), (), 'backbone')
    assert '\n' not in str(error.value)
    return str(error.value)


def log_of(work_dir):
    (log,) = work_dir.glob('*/*.log')
    return log.read_text()


def test_everything_filled(file):
    module = vit()
    before = copy.deepcopy(module.state_dict())
    coverage = measure_coverage(module, str(file), 'backbone')
    assert set(coverage.filled) == set(module.state_dict()) and not coverage.missing
    assert not coverage.resized and not coverage.unused
    content = downstream.weights(file)
    assert all(torch.equal(content['backbone.' + k], v) for k, v in coverage.filled.items())
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    check_coverage(coverage, (), 'backbone')


def test_resized_and_unused_are_told(file):
    module = ViTDet(arch=downstream.ARCH, img_size=64, patch_size=16, window_size=2)
    coverage = measure_coverage(module, str(file), 'backbone.')
    assert sorted(coverage.resized) == ['patch_embed.projection.weight', 'pos_embed']
    assert coverage.unused == ['cls_token']
    tables = [name for name in module.state_dict() if 'rel_pos' in name]
    assert sorted(coverage.missing) == sorted(tables) and tables
    report = describe(coverage, tables, 'backbone')
    count = len(coverage.filled)
    assert f'backbone: {count} of {count + len(tables)} tensors filled from {file}' in report
    assert '(of which 2 resized: ' in report and 'not used: cls_token' in report
    assert f'{len(tables)} tensors start anew, as they should: layers.0.attn.rel_pos_h' in report
    check_coverage(coverage, tables, 'backbone')


@pytest.mark.parametrize(
    ('change', 'difference'),
    [
        (dict(arch={**downstream.ARCH, 'num_layers': 4}), 'depth 2 in the file, 4 in the model'),
        (dict(arch={**downstream.ARCH, 'num_layers': 1}), 'depth 2 in the file, 1 in the model'),
        (dict(arch={**downstream.ARCH, 'embed_dims': 24}), 'width 16 in the file, 24 in the model'),
        (dict(patch_size=4), 'patch_size 8 in the file, 4 in the model'),
        (dict(in_channels=4), 'channels 3 in the file, 4 in the model'),
    ],
)
def test_another_architecture(file, change, difference):
    message = refuse(vit(**change), file)
    assert message.startswith(str(file)) and difference in message
    assert 'give model.backbone the architecture of that checkpoint' in message


def test_layers_of_another_shape(file):
    wider = {**downstream.ARCH, 'feedforward_channels': 64}
    message = refuse(vit(arch=wider), file)
    assert '6 of 30 tensors stay random (layers.0.ffn.layers.0.0.weight, ' in message
    assert 'is (32, 16) in the file and (64, 16) in the model' in message


def test_layer_scale_is_not_left_out(tmp_path):
    """A plain ViT would load CAE v2's weights in silence, and compute something else."""
    file = downstream.pretrained(tmp_path / 'scaled.pth', layer_scale_init_value=0.1)
    message = refuse(vit(), file)
    assert 'the file has LayerScale and the model has none (4 tensors' in message
    assert 'layers.0.attn.gamma1.weight' in message and 'layer_scale_init_value=0.1' in message
    with pytest.raises(UserError, match=r'does not fit VisionTransformer: the file has LayerScale'):
        fill_module(vit(), str(file), 'backbone.')
    scaled = vit(layer_scale_init_value=1e-5)
    coverage = measure_coverage(scaled, str(file), 'backbone.')
    check_coverage(coverage, (), 'backbone')
    assert coverage.unused == [] and set(coverage.filled) == set(scaled.state_dict())
    fill_module(scaled, str(file), 'backbone.')


def test_another_method_or_network(tmp_path):
    decoder = downstream.pretrained(tmp_path / 'decoder.pth', prefix='decoder_stack.inner_')
    message = refuse(vit(), decoder)
    assert '30 of 30 tensors stay random' in message
    assert 'the file holds another network or another method (decoder_stack. (30))' in message
    resnet = tmp_path / 'resnet.pth'
    state = ResNet(18).state_dict()
    torch.save({'state_dict': {f'backbone.{k}': v for k, v in state.items()}}, resnet)
    assert 'another network' in refuse(vit(), resnet)
    message = refuse(ResNet(18), downstream.pretrained(tmp_path / 'vit.pth'))
    assert 'another network' in message


def test_another_prefix(file, tmp_path):
    message = refuse(vit(), downstream.pretrained(tmp_path / 'a.pth', prefix='model.encoder.'))
    assert "set prefix='model.encoder.' in model.backbone.init_cfg" in message
    assert "set prefix='backbone.'" in refuse(vit(), file, prefix=None)
    assert 'set prefix=None' in refuse(vit(), downstream.pretrained(tmp_path / 'b.pth', prefix=''))
    wrapped = downstream.pretrained(tmp_path / 'c.pth', prefix='module.')
    check_coverage(measure_coverage(vit(), str(wrapped)), (), 'backbone')


def test_resnets_of_other_depths(tmp_path):
    path = tmp_path / 'resnet.pth'
    torch.save({'state_dict': ResNet(34).state_dict()}, path)
    assert 'more layers than model.backbone' in refuse(ResNet(18), path, None)
    coverage = measure_coverage(ResNet(34), str(path))
    check_coverage(coverage, (), 'backbone')
    assert not any('num_batches_tracked' in name for name in coverage.filled)


def test_a_detectors_checkpoint_serves_its_own_backbone(tmp_path):
    heads = {'rpn_head.rpn_conv.weight': torch.zeros(2), 'roi_head.bbox_head.w': torch.zeros(2)}
    path = downstream.pretrained(tmp_path / 'detector.pth', extra=heads)
    check_coverage(measure_coverage(vit(), str(path), 'backbone.'), (), 'backbone')
    assert 'rpn_head. (1)' in refuse(vit(), path, prefix='encoder.')


def test_files_that_cannot_be_used(file, tmp_path):
    with pytest.raises(UserError, match=r'no checkpoint .*nowhere.pth'):
        measure_coverage(vit(), str(tmp_path / 'nowhere.pth'), 'backbone.')
    content = downstream.weights(file)
    torch.save({'model': content}, tmp_path / 'mae.pth')
    with pytest.raises(UserError, match=r"holds no tensors under 'state_dict' .*it holds model"):
        measure_coverage(vit(), str(tmp_path / 'mae.pth'), 'backbone.')
    content['backbone.pos_embed'][0, 3] = float('nan')
    torch.save({'state_dict': content}, tmp_path / 'diverged.pth')
    with pytest.raises(UserError, match=r'not finite \(backbone.pos_embed\).*diverged'):
        measure_coverage(vit(), str(tmp_path / 'diverged.pth'), 'backbone.')
    # mmpretrain's ViT without a class token cannot resize positions that have one
    with pytest.raises(UserError, match=r'VisionTransformer cannot take up .*with_cls_token'):
        module = vit(img_size=64, with_cls_token=False, out_type='featmap')
        measure_coverage(module, str(file), 'backbone.')


def test_pretrained_entry_of_an_init_cfg():
    entry, other = dict(type='Pretrained', checkpoint='a'), dict(type='Constant', layer='Linear')
    assert pretrained_cfg(None) is None and pretrained_cfg(other) is None
    assert pretrained_cfg(entry) is entry
    assert pretrained_cfg([other, entry, {**entry, 'checkpoint': 'b'}])['checkpoint'] == 'b'


@pytest.mark.parametrize('task', ['classifier', 'detector', 'segmentor'])
def test_reports_in_all_tasks(shapes, file, tmp_path, task, monkeypatch):
    runner = downstream.runner_of(getattr(downstream, task)(shapes, file), tmp_path / 'run')
    monkeypatch.setattr(runner.model, 'train_step', lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        runner.train()
    text = log_of(tmp_path / 'run')
    assert f'tensors filled from {file} (of which 1 resized: pos_embed)' in text
    assert ('start anew, as they should: ln2.weight, ln2.bias' in text) == (task == 'classifier')


@pytest.mark.parametrize('task', ['classifier', 'detector', 'segmentor'])
def test_stops_before_the_first_step(shapes, tmp_path, task):
    deeper = dict(arch={**downstream.ARCH, 'num_layers': 3})
    file = downstream.pretrained(tmp_path / 'backbone.pth', **deeper)
    runner = downstream.runner_of(getattr(downstream, task)(shapes, file), tmp_path / 'run')
    with pytest.raises(UserError, match=r'has more layers than model.backbone.*depth 3 in the file'):
        runner.train()
    assert runner.iter == 0


def test_random_weights_are_told(shapes, tmp_path):
    cfg = downstream.classifier(shapes)
    runner = downstream.runner_of(cfg, tmp_path / 'run')
    runner.train()
    assert 'backbone: random weights (no init_cfg)' in log_of(tmp_path / 'run')


def test_a_list_as_init_cfg_is_caught(shapes, file, tmp_path):
    """mmpretrain's ViT then draws its position embeddings anew, after loading them."""
    cfg = downstream.classifier(shapes)
    cfg.model.backbone.init_cfg = [downstream.init_cfg(file)]
    runner = downstream.runner_of(cfg, tmp_path / 'run')
    with pytest.raises(
        UserError,
        match=r'does not have the values of .* in pos_embed \(1 of \d+ tensors\): its init_cfg is a list',
    ):
        runner.train()
    assert runner.iter == 0


@MODELS.register_module(force=True)
class Restless(VisionTransformer):
    """Initializes after loading."""

    def init_weights(self):
        super().init_weights()
        torch.nn.init.zeros_(self.layers[1].attn.qkv.weight)


def test_an_initializer_that_runs_later_is_caught(shapes, file, tmp_path):
    cfg = downstream.classifier(shapes, file)
    cfg.model.backbone.type = 'mmengine.Restless'
    runner = downstream.runner_of(cfg, tmp_path / 'run')
    with pytest.raises(UserError, match=r'layers.1.attn.qkv.weight .*initialized them after loading'):
        runner.train()


def test_init_cfg_of_the_whole_model(shapes, tmp_path):
    cfg = downstream.classifier(shapes)
    cfg.model.pretrained = str(downstream.pretrained(tmp_path / 'whole.pth'))
    runner = downstream.runner_of(cfg, tmp_path / 'run')
    runner.train()
    assert 'tensors filled from' in log_of(tmp_path / 'run')


def test_runs_that_do_not_use_init_cfg_pass(shapes, file, tmp_path):
    cfg = downstream.classifier(shapes, file)
    downstream.runner_of(cfg, tmp_path / 'run').train()
    deeper = downstream.pretrained(tmp_path / 'deeper.pth', arch={**downstream.ARCH, 'num_layers': 3})
    cfg.model.backbone.init_cfg.checkpoint = str(deeper)
    path = str(tmp_path / 'run' / 'epoch_1.pth')
    downstream.runner_of(cfg, tmp_path / 'run', resume=True).train()
    downstream.runner_of(cfg, tmp_path / 'new', load_from=path).train()
    downstream.runner_of(cfg, tmp_path / 'test', load_from=path).test()


def test_a_module_that_is_not_there(shapes, tmp_path):
    cfg = downstream.classifier(shapes)
    cfg.custom_hooks[1].module = 'trunk'
    with pytest.raises(UserError, match=r'the model has no trunk: set module= .*backbone, head'):
        downstream.runner_of(cfg, tmp_path / 'run').train()
