"""A downstream run starts from the whole backbone, or names what is wrong before its first step."""

import downstream
import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.utils import resize_pos_embed

from mmimg2vec.engine.hooks import TrainedWeightsHook
from mmimg2vec.engine.hooks.init_coverage import pretrained_cfg
from mmimg2vec.errors import UserError


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    return downstream.small_shapes(tmp_path_factory.mktemp('data'))


@pytest.fixture
def file(tmp_path):
    return downstream.pretrained(tmp_path / 'backbone.pth')


def log_of(work_dir):
    (log,) = work_dir.glob('*/*.log')
    return log.read_text()


def test_pretrained_entry_of_an_init_cfg():
    entry, other = dict(type='Pretrained', checkpoint='a'), dict(type='Constant', layer='Linear')
    assert pretrained_cfg(None) is None and pretrained_cfg(other) is None
    assert pretrained_cfg(entry) is entry
    assert pretrained_cfg([other, entry, {**entry, 'checkpoint': 'b'}])['checkpoint'] == 'b'


@pytest.mark.parametrize(
    ('prefix', 'level'), [(None, 'backbone'), ('backbone.', 'backbone'), (None, 'model'), ('teacher.', 'model')]
)
def test_a_dino_file_starts_a_run_from_its_teacher(shapes, file, tmp_path, prefix, level, monkeypatch):
    """mmengine loads what the hook found, though the file keeps it in a dict; ``init_cfg`` is as before afterwards."""
    teacher = downstream.weights(file)
    student = {f'module.{name}': value + 1 for name, value in teacher.items()}
    torch.save({'model': {'student': student, 'teacher': teacher}}, file)
    cfg = downstream.classifier(shapes, file)
    entry = cfg.model.backbone.pop('init_cfg')
    entry.pop('prefix')
    entry.update({} if prefix is None else {'prefix': prefix})
    target = cfg.model.backbone if level == 'backbone' else cfg.model
    target.init_cfg = entry
    runner = downstream.runner_of(cfg, tmp_path / 'run')
    monkeypatch.setattr(runner.model, 'train_step', lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        runner.train()
    state = runner.model.backbone.state_dict()
    shared = [name for name in state if name != 'pos_embed' and f'backbone.{name}' in teacher]
    assert len(shared) == 27 and all(torch.equal(state[name], teacher[f'backbone.{name}']) for name in shared)
    assert 'tensors filled from' in log_of(tmp_path / 'run')
    owner = runner.model.backbone if level == 'backbone' else runner.model
    assert owner.init_cfg == dict(entry)


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


@pytest.mark.parametrize('layout', ['backbone', 'encoder', 'model'])
def test_load_from_is_measured_and_taken_up(shapes, file, tmp_path, layout, monkeypatch):
    """mmengine passes over names that are not the model's, and trains random weights."""
    tensors = downstream.weights(file)
    if layout == 'encoder':
        torch.save({'state_dict': {f'encoder.{k.removeprefix("backbone.")}': v for k, v in tensors.items()}}, file)
    elif layout == 'model':
        torch.save({'model': {f'module.{name}': value for name, value in tensors.items()}}, file)
    runner = downstream.runner_of(downstream.classifier(shapes), tmp_path / 'run', load_from=str(file))
    monkeypatch.setattr(runner.model, 'train_step', lambda *args, **kwargs: 1 / 0)
    fed = []
    call_hook = runner.call_hook

    def listen(name, **kwargs):
        call_hook(name, **kwargs)
        if name == 'after_load_checkpoint':
            fed.append(kwargs['checkpoint'])

    monkeypatch.setattr(runner, 'call_hook', listen)
    with pytest.raises(ZeroDivisionError):
        runner.train()
    state = runner.model.backbone.state_dict()
    shared = [name for name in state if name != 'pos_embed' and f'backbone.{name}' in tensors]
    assert len(shared) == 27 and all(torch.equal(state[name], tensors[f'backbone.{name}']) for name in shared)
    assert f'tensors filled from {file} (of which 1 resized: pos_embed)' in log_of(tmp_path / 'run')
    # What mmengine loads afterwards is the same, under the names and in the shapes of the model.
    loaded = fed[0].get('state_dict', fed[0])
    assert all(torch.equal(loaded[f'backbone.{name}'], state[name]) for name in (*shared, 'pos_embed'))


def test_load_from_that_names_nothing_of_the_backbone_is_refused(shapes, tmp_path):
    torch.save({'state_dict': {'trunk.weight': torch.zeros(2)}}, tmp_path / 'other.pth')
    cfg = downstream.classifier(shapes)
    with pytest.raises(UserError, match=r'other.pth does not fill model.backbone: \d+ of \d+ tensors'):
        downstream.runner_of(cfg, tmp_path / 'run', load_from=str(tmp_path / 'other.pth')).train()


def test_a_run_goes_on_without_the_file_that_it_started_from(shapes, file, tmp_path):
    cfg = downstream.classifier(shapes, file)
    downstream.runner_of(cfg, tmp_path / 'run').train()
    file.unlink()
    cfg.train_cfg.max_epochs = 2
    runner = downstream.runner_of(cfg, tmp_path / 'run', resume=True)
    runner.train()
    assert runner.epoch == 2
    assert runner.model.backbone.init_cfg.checkpoint == str(file)


@pytest.mark.parametrize('wrong', ['backbone', 'shallower', 'other head'])
def test_a_test_of_another_checkpoint_is_refused(shapes, file, tmp_path, wrong):
    cfg = downstream.classifier(shapes)
    runner = downstream.runner_of(cfg, tmp_path / 'run')
    state = runner.model.state_dict()
    if wrong == 'shallower':
        state = {name: value for name, value in state.items() if 'layers.1.' not in name}
    elif wrong == 'other head':
        state = {name.replace('head.', 'decode_head.'): value for name, value in state.items()}
    if wrong != 'backbone':
        torch.save({'state_dict': state}, file)
    runner = downstream.runner_of(cfg, tmp_path / 'test', load_from=str(file))
    runner.register_hook(TrainedWeightsHook())
    with pytest.raises(UserError, match=r'backbone.pth does not fill the model of the config: \d+ of \d+ tensors'):
        runner.test()
    torch.save({'state_dict': runner.model.state_dict()}, file)
    runner = downstream.runner_of(cfg, tmp_path / 'good', load_from=str(file))
    runner.register_hook(TrainedWeightsHook())
    assert 'accuracy/top1' in runner.test()


def test_positions_of_another_grid_reach_a_run(shapes, tmp_path, monkeypatch):
    """32 x 128 px are 4 x 16 patches, which mmengine would take for the 8 x 8 of 64 x 64 px."""
    file = downstream.pretrained(tmp_path / 'wide.pth', img_size=(32, 128))
    content = torch.load(file, weights_only=True)
    settings = dict(type='mmpretrain.VisionTransformer', arch=downstream.ARCH, img_size=(32, 128), patch_size=8)
    content['meta'] = {'config': f'model = dict(backbone={settings!r})'}
    torch.save(content, file)
    found = {}
    for door in ('init_cfg', 'load_from'):
        cfg = downstream.classifier(shapes, file if door == 'init_cfg' else None)
        changes = {} if door == 'init_cfg' else {'load_from': str(file)}
        runner = downstream.runner_of(cfg, tmp_path / door, **changes)
        monkeypatch.setattr(runner.model, 'train_step', lambda *args, **kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            runner.train()
        assert 'position embeddings of 4 x 16 patches resized to 8 x 8' in log_of(tmp_path / door)
        found[door] = runner.model.backbone.pos_embed.detach()
    given = content['state_dict']['backbone.pos_embed']
    expected = resize_pos_embed(given, (4, 16), (8, 8), 'bicubic', 1)
    assert all(torch.equal(table, expected) for table in found.values())
