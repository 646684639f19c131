"""Numbers of a step are read, and watched quantities computed, in logged steps only; the log stays mmengine's."""

import copy
import json

import pytest
import tiny_models
import torch
import toy
from mmengine.config import Config
from mmengine.hooks import Hook, RuntimeInfoHook
from mmengine.runner import Runner
from torch.utils._python_dispatch import _disable_current_modes
from waits import Waits

from mmimg2vec.engine.hooks import FiniteGuardHook, LoggedStepsHook
from mmimg2vec.models.utils import TokenMask

LAZY = dict(type='mmimg2vec.LoggedStepsHook')
HOOKS = [dict(type='mmimg2vec.LogHistoryHook'), dict(type='mmimg2vec.GradNormHook')]


def trained(images, folder, runtime_info, interval, epochs=3):
    default_hooks = dict(
        runtime_info=runtime_info,
        checkpoint=dict(type='mmimg2vec.SafeCheckpointHook', interval=1, steps=2, max_keep_ckpts=9),
        logger=dict(type='LoggerHook', interval=interval),
    )
    run = toy.runner_of(images, folder, epochs, HOOKS, default_hooks=default_hooks)
    run.train()
    return run


def lines(folder):
    (path,) = folder.glob('*/vis_data/scalars.json')
    clocks = ('time', 'data_time', 'memory')
    read = [json.loads(line) for line in path.read_text().splitlines()]
    return [[(key, value) for key, value in line.items() if key not in clocks] for line in read]


@pytest.mark.parametrize('interval', [1, 2, 5])
def test_log_and_checkpoints_are_mmengines(images, tmp_path, interval):
    first = trained(images, tmp_path / 'mmengine', dict(type='RuntimeInfoHook'), interval)
    second = trained(images, tmp_path / 'ours', LAZY, interval)
    assert lines(tmp_path / 'ours') == lines(tmp_path / 'mmengine') and lines(tmp_path / 'ours')
    for key in ('train/loss', 'train/lr'):
        ours, theirs = (run.message_hub.get_scalar(key).data[0] for run in (second, first))
        assert ours.tolist() == theirs.tolist() and len(ours) == 9
    for path in (tmp_path / 'ours').glob('*.pth'):
        ours, theirs = (torch.load(p, weights_only=True) for p in (path, tmp_path / 'mmengine' / path.name))
        for key in ('train/loss', 'train/lr'):
            ours_, theirs_ = (state['message_hub']['log_scalars'][key] for state in (ours, theirs))
            assert str(ours_) == str(theirs_), (path.name, key)


class Count(Hook):
    """Counts the waits of each step, from the batch to the last hook."""

    priority = 'LOWEST'

    def __init__(self, runner):
        self.waits, self.read, loop = [], [], runner.train_loop
        run_iter = loop.run_iter
        (lazy,) = [hook for hook in runner.hooks if isinstance(hook, LoggedStepsHook)]
        read = lazy.read

        def noted(runner):
            self.read.append(runner.iter + 1)
            read(runner)

        lazy.read = noted

        def counted(*args):
            with Waits() as waits:
                run_iter(*args)
            self.waits.append(waits.found)

        loop.run_iter = counted


@pytest.fixture
def accelerator(monkeypatch):
    """What is done on the CPU alone, or on the host on purpose, counts as no wait."""
    checked = TokenMask.checked

    def on_the_host(*args):
        with _disable_current_modes():
            return checked(*args)

    monkeypatch.setattr(TokenMask, 'checked', on_the_host)
    # On the CPU it looks at once; on an accelerator in logged steps.
    monkeypatch.setattr(FiniteGuardHook, 'look', lambda self, runner: None)


def runner_of(images, folder, normalization='layer', fused=None, interval=2, **model):
    """A run of the tiny Img2Vec with all hooks that the configs have."""
    runtime = Config.fromfile('configs/_base_/default_runtime.py')
    default_hooks = dict(runtime.default_hooks)
    default_hooks['logger'] = dict(type='LoggerHook', interval=interval)
    default_hooks['checkpoint'] = dict(type='mmimg2vec.SafeCheckpointHook', interval=100)
    loader = toy.train_dataloader(images)
    pipeline = loader['dataset']['dataset']['pipeline']
    pipeline[1]['scale'], pipeline[2]['patch_size'] = 64, 16
    cfg = copy.deepcopy({**tiny_models.IMG2VEC, **model})
    cfg['target_generator']['normalization'] = normalization
    return toy.runner_of(
        images,
        folder,
        epochs=3,
        model=cfg,
        train_dataloader=loader,
        default_hooks=default_hooks,
        custom_hooks=[hook for hook in runtime.custom_hooks if 'Picture' not in hook['type']],
        optim_wrapper=dict(
            type='mmimg2vec.AutocastOptimWrapper',
            dtype='float32',
            optimizer=dict(type='AdamW', lr=1e-3, fused=fused),
            clip_grad=dict(max_norm=1.0),
        ),
    )


@pytest.mark.parametrize('normalization', ['none', 'layer', 'batch', 'whiten'])
def test_the_host_waits_in_logged_steps_only(images, tmp_path, accelerator, normalization):
    run: Runner = runner_of(images, tmp_path / 'run', normalization)
    count = Count(run)
    run.train()
    steps = {step: found for step, found in enumerate(count.waits, 1) if found}
    # The second step of each epoch of three is logged; GradNormHook reads there.
    assert set(steps) <= {2, 5, 8}, steps
    # The first step, logged ones and every second one; ends of epochs, when the next step has its number: 4, 7, 10.
    assert count.read == [1, 2, 4, 4, 5, 6, 7, 8, 10]


@pytest.mark.parametrize('culprit', ['optimizer', 'hook', 'targets'])
def test_waits_are_found(images, tmp_path, accelerator, monkeypatch, culprit):
    """An optimizer that asks whether to step, mmengine's own hook, and a number that is made on the host."""
    run = runner_of(images, tmp_path / 'run', 'batch', fused=False if culprit == 'optimizer' else None)
    count = Count(run)
    if culprit == 'hook':
        (lazy,) = [hook for hook in run.hooks if isinstance(hook, LoggedStepsHook)]
        monkeypatch.setattr(lazy, 'after_train_iter', RuntimeInfoHook().after_train_iter)
    elif culprit == 'targets':
        monkeypatch.setattr(torch.Tensor, 'new_full', lambda x, size, value: x.new_tensor(value))
    run.train()
    assert len(count.waits) == 9 and all(count.waits)


def test_watched_quantities_are_computed_in_logged_steps_only(images, tmp_path):
    run = runner_of(images, tmp_path / 'run')
    run.train()
    histories = {key: len(value.data[0]) for key, value in run.message_hub.log_scalars.items()}
    assert histories['train/loss'] == histories['train/loss_token'] == 9
    for key in ('target_diversity', 'prediction_diversity', 'prediction_cosine', 'fusion_weight_0'):
        assert histories[f'train/{key}'] == 4, key  # steps 1, 2, 5 and 8
    assert run.model.head.watching  # for whoever calls the model afterwards
