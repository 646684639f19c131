import json
import random
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import toy
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook, LoggerHook
from mmengine.registry import MODELS

from mmimg2vec.datasets.image_files import read_list
from mmimg2vec.engine.hooks import GradNormHook, SeededStepHook, ThroughputHook, knn
from mmimg2vec.engine.hooks.backbone_export import backbone_state
from mmimg2vec.errors import UserError


class Notes(Hook):
    """Keeps what a hook before it left behind."""

    priority = 'LOWEST'

    def __init__(self):
        self.states, self.training = [], []

    def after_train_epoch(self, runner):
        self.states.append((random.random(), np.random.rand(), torch.rand(1).item()))
        self.training.append([module.training for module in runner.model.modules()])


def scalars(work_dir):
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_backbone_export(images, tmp_path):
    hooks = [dict(type='mmimg2vec.BackboneExportHook')]
    cfg = Config(dict(model=dict(type='ToyPretrainer')))
    run = toy.runner_of(images, tmp_path / 'run', 1, hooks, cfg=cfg)
    run.train()
    exported = torch.load(tmp_path / 'run' / 'backbone.pth', weights_only=True)
    assert set(exported['state_dict']) == {f'backbone.{name}' for name in run.model.backbone.state_dict()}
    fresh = toy.ToyBackbone()
    fresh.load_state_dict({k[9:]: v for k, v in exported['state_dict'].items()})
    assert exported['meta']['epoch'] == 1 and 'ToyPretrainer' in exported['meta']['config']
    assert not list((tmp_path / 'run').glob('*.part'))


@pytest.mark.parametrize('averaged', [True, False])
def test_backbone_export_beside_an_average(images, tmp_path, averaged, monkeypatch):
    """Checkpoints of such a run hold averaged weights, and so does the backbone unless the raw ones are asked for."""
    hooks = [dict(type='mmimg2vec.BackboneExportHook', averaged=averaged), dict(type='EMAHook', momentum=0.5)]
    run, lines = toy.runner_of(images, tmp_path / 'run', 1, hooks), []
    monkeypatch.setattr(run.logger, 'info', lines.append)
    run.train()
    exported = torch.load(tmp_path / 'run' / 'backbone.pth', weights_only=True)['state_dict']
    (ema,) = (hook for hook in run.hooks if isinstance(hook, EMAHook))
    sources = {True: ema.ema_model.module.backbone, False: run.model.backbone}
    for name, value in sources[averaged].state_dict().items():
        assert torch.equal(exported[f'backbone.{name}'], value)
    assert any(
        not torch.equal(value, exported[f'backbone.{name}'])
        for name, value in sources[not averaged].state_dict().items()
    )
    assert ('averaged by EMAHook' if averaged else 'the raw ones beside EMAHook') in lines[-1]


def test_backbone_names_without_wrappers():
    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.module = torch.nn.Module()
            self.module.head = torch.nn.Linear(1, 1)
            self.module.backbone = torch.nn.Module()
            self.module.backbone._orig_mod = torch.nn.Module()
            self.module.backbone._orig_mod.module = torch.nn.Linear(2, 1)

    assert sorted(backbone_state(Wrapped())) == ['backbone.module.bias', 'backbone.module.weight']


def test_export_needs_a_backbone(images, tmp_path):
    run = toy.runner_of(images, tmp_path / 'run', 1, [dict(type='mmimg2vec.BackboneExportHook')])
    run.model.trunk = run.model.backbone
    del run.model.backbone
    run.model.backbone = run.model.trunk.forward
    with pytest.raises(UserError, match='has no `backbone`'):
        run.train()


def knn_hook(folder, **kwargs):
    return dict(
        type='mmimg2vec.KNNHook',
        bank_dataloader=toy.labeled_dataloader(folder),
        query_dataloader=toy.labeled_dataloader(folder),
        **kwargs,
    )


def test_knn_hook(images, tmp_path):
    notes = []
    for name, hooks in {
        'with': [knn_hook(images, interval=2, k=1)],
        'without': [],
    }.items():
        run = toy.runner_of(images, tmp_path / name, 3, hooks)
        run.model.head.eval()  # the mode of each part is its own business
        run.register_hook(Notes())
        run.train()
        notes.append(run.hooks[-1])
    assert notes[0].states == notes[1].states
    assert notes[0].training == notes[1].training and notes[0].training[0][0]
    run = toy.runner_of(images, tmp_path / 'again', 3, [knn_hook(images, interval=2, k=1)])
    run.train()
    for name in ('knn/accuracy_cls_token', 'knn/accuracy_patch_mean'):
        history = run.message_hub.get_scalar(name).data[0]
        assert history.tolist() == [100, 100]  # the nearest of each image is itself; epochs 2, 3
        assert [line['step'] for line in scalars(tmp_path / 'again') if name in line] == [6, 9]


def test_knn_hook_says_what_the_run_started_from(images, tmp_path, monkeypatch):
    """Before the first step, and in one line where it became worse; a resumed run knows the numbers of before."""
    accuracies = iter([80.0, 79.5, 60.0, 10.0])
    monkeypatch.setattr(knn, 'knn_accuracies', lambda *args: {'cls': next(accuracies)})
    hook = knn_hook(images, interval=1, k=1, pools=('cls',), before=True)
    toy.runner_of(images, tmp_path / 'run', 2, [hook], log_level='INFO').train()
    toy.runner_of(images, tmp_path / 'run', 3, [hook], log_level='INFO', resume=True).train()
    log = ''.join(path.read_text() for path in (tmp_path / 'run').glob('*/*.log'))
    assert log.count('before training knn/accuracy_cls_token: 80.00') == 1
    fell = [line.split('INFO - ')[-1] for line in log.splitlines() if 'makes the backbone worse' in line]
    assert sorted(line.split('knn/accuracy_cls_token ')[1].split(':')[0] for line in fell) == [
        'fell from 80.00 before training to 10.00',
        'fell from 80.00 before training to 60.00',
    ]


def test_knn_hook_names_a_missing_folder(images, tmp_path):
    hook = knn_hook(images)
    hook['query_dataloader'] = toy.labeled_dataloader(tmp_path / 'nowhere')
    cfg = Config(dict(custom_hooks=[dict(type='Other'), hook]))
    run = toy.runner_of(images, tmp_path / 'run', 1, [hook], cfg=cfg)
    with pytest.raises(UserError, match=r'nowhere: .*custom_hooks.1.query_dataloader.dataset.data_root'):
        run.train()
    assert run.iter == 0


def test_feature_pictures(images, tmp_path):
    run = toy.runner_of(
        images,
        tmp_path / 'run',
        3,
        [dict(type='mmimg2vec.FeaturePictureHook', interval=2, num_images=3)],
    )
    run.train()
    paths = sorted((tmp_path / 'run').glob('*/vis_data/vis_image/features_*.png'))
    assert [path.name for path in paths] == ['features_2.png', 'features_3.png']
    first, second = (cv2.imread(str(path)) for path in paths)
    width = first.shape[1] // 4
    # the inputs stay the same, the predictions change
    assert np.array_equal(first[40:, :width], second[40:, :width])
    assert not np.array_equal(first[40:, -width:], second[40:, -width:])


@MODELS.register_module(force=True)
class NoMaskedImageModel(toy.BaseModel):
    def __init__(self):
        super().__init__(data_preprocessor=toy.ToyPreprocessor())
        self.backbone = toy.ToyBackbone()

    def forward(self, inputs, mode='tensor', **_):
        return dict(loss=self.backbone(inputs)[0].square().mean())


def test_other_models_have_no_feature_pictures_and_no_teacher(images, tmp_path):
    hooks = [dict(type='mmimg2vec.FeaturePictureHook'), dict(type='mmimg2vec.TeacherGuardHook')]
    run = toy.runner_of(images, tmp_path / 'run', 1, hooks, model=dict(type='NoMaskedImageModel'))
    run.train()
    assert not list((tmp_path / 'run').glob('*/vis_data/vis_image/*'))


class Sleep(Hook):
    def after_train_iter(self, runner, **kwargs):
        pass

    def before_train_iter(self, runner, **kwargs):
        import time

        time.sleep(0.05)


def test_throughput_and_grad_norm(images, tmp_path):
    hooks = [dict(type='mmimg2vec.ThroughputHook'), dict(type='mmimg2vec.GradNormHook')]
    run = toy.runner_of(images, tmp_path / 'run', 2, hooks)
    run.register_hook(Sleep(), priority='VERY_LOW')
    run.train()
    lines = scalars(tmp_path / 'run')
    assert len(lines) == 6
    assert all({'throughput/images_per_s', 'throughput/data_wait', 'grad_norm'} <= set(x) for x in lines)
    # four images in at least 0.05 s
    assert all(0 < line['throughput/images_per_s'] < 80 for line in lines)
    assert all(0 < line['throughput/data_wait'] < 1 for line in lines)
    assert all(line['grad_norm'] > 0 for line in lines)


def test_throughput_of_a_known_clock(monkeypatch):
    clock = SimpleNamespace(perf_counter=lambda: clock.now)
    monkeypatch.setattr('mmimg2vec.engine.hooks.throughput.time', clock)
    monkeypatch.setattr('mmimg2vec.engine.hooks.throughput.get_world_size', lambda: 2)
    scalars = {}
    runner = SimpleNamespace(message_hub=SimpleNamespace(update_scalar=scalars.__setitem__))
    hook = ThroughputHook(window=2)

    def iteration(images, loaded, done, **masks):
        clock.now = loaded
        hook.before_train_iter(runner, 0)
        clock.now = done
        hook.after_train_iter(runner, 0, dict(inputs=[0] * images, **masks))
        return scalars['train/throughput/images_per_s'], scalars['train/throughput/data_wait']

    clock.now = 10.0
    hook.before_train_epoch(runner)
    assert iteration(4, 11.0, 14.0) == (8 / 4, 1 / 4)
    assert iteration(4, 14.5, 16.0) == (16 / 6, 1.5 / 6)
    # What happens between two epochs does not count; and the first iteration is out of the window.
    clock.now = 100.0
    hook.before_train_epoch(runner)
    assert iteration(8, 103.0, 104.0, mask=torch.zeros(8, 4)) == (24 / 6, 3.5 / 6)
    assert 'train/throughput/views_per_s' not in scalars
    assert iteration(4, 104.0, 106.0, mask=torch.zeros(4, 3, 4)) == (24 / 6, 3 / 6)
    assert scalars['train/throughput/views_per_s'] == 3 * 24 / 6
    assert ThroughputHook().history.maxlen == 50


def test_each_step_draws_numbers_of_its_own(monkeypatch):
    def drawn(seed, iteration, rank):
        monkeypatch.setattr('mmimg2vec.engine.hooks.seeded_step.get_rank', lambda: rank)
        SeededStepHook().before_train_iter(SimpleNamespace(seed=seed, iter=iteration), 0)
        return random.random(), np.random.rand(), torch.rand(1).item()

    state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    first = drawn(1, 5, 0)
    assert drawn(1, 5, 0) == first
    for other in (drawn(1, 6, 0), drawn(2, 5, 0), drawn(1, 5, 1)):
        assert all(a != b for a, b in zip(first, other, strict=True))
    # All bits of the seed come from the key: neither half is the same for another one.
    halves = []
    for iteration in (5, 6):
        drawn(1, iteration, 0)
        halves.append(divmod(torch.initial_seed(), 1 << 32))
    assert all(a != b and a and b for a, b in zip(*halves, strict=True))
    random.setstate(state[0]), np.random.set_state(state[1]), torch.set_rng_state(state[2])


def test_interval_of_the_gradient_norm():
    run = SimpleNamespace(
        hooks=[Hook(), LoggerHook(interval=3)], optim_wrapper=SimpleNamespace(measure_grad_norm=False)
    )
    for given, expected in ((None, 3), (7, 7)):
        hook = GradNormHook(given)
        hook.before_train(run)
        assert (hook.active, hook.interval) == (True, expected)
    bare = SimpleNamespace(hooks=[], optim_wrapper=SimpleNamespace())
    hook = GradNormHook()
    hook.before_train(bare)
    assert (hook.active, hook.interval) == (False, 10)
    hook.before_train_iter(bare, 9)
    hook.after_train_iter(bare, 9)
    assert vars(bare.optim_wrapper) == {}


def test_grad_norm_under_accumulation_and_clipping(images, tmp_path):
    run = toy.runner_of(
        images,
        tmp_path / 'run',
        2,
        [dict(type='mmimg2vec.GradNormHook', interval=1)],
        optim_wrapper=dict(
            type='mmimg2vec.AutocastOptimWrapper',
            accumulative_counts=3,
            clip_grad=dict(max_norm=1e-4),
            optimizer=dict(type='SGD', lr=0.1),
        ),
    )
    run.train()
    values, _ = run.message_hub.get_scalar('train/grad_norm').data
    assert len(values) == 2 and min(values) > 1e-3


@pytest.mark.parametrize('num_workers', [0, 2])
def test_unreadable_images_are_counted(images, tmp_path, num_workers):
    broken = images / 'class_0' / '00.png'
    broken.write_bytes(b'')
    run = toy.runner_of(
        images,
        tmp_path / 'run',
        2,
        [dict(type='mmimg2vec.UnreadableImagesHook', max_share=0.1, interval=1)],
        train_dataloader={**toy.train_dataloader(images), 'num_workers': num_workers},
    )
    path = tmp_path / 'run' / 'unreadable_images.jsonl'
    path.write_text('{"image": "of an older run", "reason": "any"}\n')
    run.train()
    assert read_list(path) == {str(broken): 'empty file'}
    assert len(path.read_text().splitlines()) <= 2 * max(1, num_workers)
    assert run.message_hub.get_scalar('train/unreadable_images').current() == 1


def test_a_resumed_run_goes_on_with_its_list_of_unreadable_images(images, tmp_path):
    (images / 'class_0' / '00.png').write_bytes(b'')
    hooks = [dict(type='mmimg2vec.UnreadableImagesHook', max_share=0.5)]
    path = tmp_path / 'run' / 'unreadable_images.jsonl'
    toy.runner_of(images, tmp_path / 'run', 1, hooks).train()
    with path.open('a') as file:
        file.write('{"image": "of the first part", "reason": "any"}\n')
    resumed = toy.runner_of(images, tmp_path / 'run', 2, hooks, resume=True)
    resumed.train()
    assert 'of the first part' in read_list(path)
    assert resumed.message_hub.get_scalar('train/unreadable_images').current() == 2


def test_one_unreadable_image_is_accepted_unless_none_is(images, tmp_path):
    broken = images / 'class_0' / '00.png'
    broken.write_bytes(b'')
    hook = dict(type='mmimg2vec.UnreadableImagesHook')  # at most 1 % of 12 images
    toy.runner_of(images, tmp_path / 'run', 1, [hook]).train()
    with pytest.raises(UserError, match=rf'1 of 12 images are unreadable, more than max_share=0 .*{broken.name}'):
        toy.runner_of(images, tmp_path / 'none', 1, [dict(hook, max_share=0)]).train()


def test_too_many_unreadable_images_end_the_run(images, tmp_path):
    for name in ('00', '02', '04'):
        (images / 'class_0' / f'{name}.png').write_bytes(b'x')
    hooks = [dict(type='mmimg2vec.UnreadableImagesHook', max_share=0.2)]
    run = toy.runner_of(images, tmp_path / 'run', 3, hooks)
    with pytest.raises(UserError, match=r'3 of 12 images are unreadable, more than max_share=0.2'):
        run.train()
    assert run.epoch == 0
