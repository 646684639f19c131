"""One bad batch costs one update, is named, and many in a row end the run with its last good checkpoint whole."""

import json
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
import toy
from mmengine.hooks import Hook, LoggerHook
from mmpretrain.structures import DataSample
from torch import nn

from mmimg2vec.engine.hooks.finite_guard import FiniteGuardHook, ReproduceHook, StepReport
from mmimg2vec.engine.optim_wrappers import AutocastOptimWrapper
from mmimg2vec.errors import UserError

GUARD = dict(type='mmimg2vec.FiniteGuardHook')


class Poison(Hook):
    """Makes the images of some steps NaN."""

    priority = 'VERY_HIGH'

    def __init__(self, *steps):
        self.steps = steps

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter in self.steps:
            data_batch['inputs'] = data_batch['inputs'].float() * float('nan')


class LeaveOut(Hook):
    """Makes no update in some steps."""

    def __init__(self, *steps):
        self.steps = steps

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter in self.steps:
            runner.optim_wrapper.step = lambda: None
        elif 'step' in vars(runner.optim_wrapper):
            del runner.optim_wrapper.step


def train(images, folder, hook, hooks=(GUARD,), **kwargs):
    run = toy.runner_of(images, folder, epochs=3, hooks=hooks, **kwargs)
    run.register_hook(hook)
    run.train()
    return run


def state(run):
    return {
        **run.model.state_dict(),
        **{f'{i}.{k}': v for i, s in enumerate(run.optim_wrapper.optimizer.state.values()) for k, v in s.items()},
    }


@pytest.mark.parametrize('fused', [False, True])  # the flag is read by the host, or by the optimizer's kernel
@pytest.mark.parametrize(
    'options', [{}, {'clip_grad': {'max_norm': 0.5}}, {'clip_grad': {'clip_value': 0.01, 'type': 'value'}}]
)
def test_a_bad_batch_is_as_if_it_had_not_been(images, tmp_path, options, fused):
    if fused and torch.__version__ < '2.4':
        pytest.skip('this torch has no fused kernel on the CPU')
    wrapper = dict(
        type='mmimg2vec.AutocastOptimWrapper',
        dtype='float32',
        optimizer=dict(type='AdamW', lr=1e-2, fused=fused),
        **options,
    )
    bad = train(images, tmp_path / 'bad', Poison(1, 4), optim_wrapper=wrapper)
    expected = train(images, tmp_path / 'good', LeaveOut(1, 4), optim_wrapper=wrapper)
    found = state(bad)
    assert all(torch.equal(found[key], value) for key, value in state(expected).items())
    lines = [json.loads(line) for line in (tmp_path / 'bad/skipped_updates.jsonl').read_text().splitlines()]
    assert [line['iter'] for line in lines] == [1, 4]
    assert all(line['loss'] == 'nan' and len(line['images']) == 4 for line in lines)
    assert bad.message_hub.get_info('skipped_updates') == 2


def gradients_of(*steps, size=512):
    """A wrapper after some backward passes of a large and a small layer; ``steps`` spoil the gradients."""
    model = nn.Sequential(nn.Linear(size, size), nn.Linear(size, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    wrapper = AutocastOptimWrapper(dtype='float32', optimizer=optimizer, accumulative_counts=len(steps))
    wrapper.initialize_count_status(model, 0, 10 * len(steps))
    before = [p.detach().clone() for p in model.parameters()]
    for step in steps:
        with wrapper.optim_context(model):
            step(model)
            loss = wrapper.scale_loss(model(torch.ones(3, size)).square().mean())
        wrapper.backward(loss)
    return model, wrapper, before


def hooked(name, value):
    return lambda model: model.get_parameter(name).register_hook(lambda gradient: gradient.index_fill(0, INDEX, value))


INDEX = torch.tensor([1])


@pytest.mark.parametrize('name', ['0.weight', '0.bias', '1.weight'])  # large and small ones are read at other moments
@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('steps', [1, 3])
def test_one_value_of_one_gradient(name, value, steps):
    model, wrapper, before = gradients_of(hooked(name, value), *[lambda model: None] * (steps - 1))
    wrapper.step()
    assert wrapper.finite.item() is False
    # Nothing moved: neither moments nor the count of steps (the fused kernel has made them, all zero).
    assert not any(value.any() for state in wrapper.optimizer.state.values() for value in state.values())
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_a_loss_that_is_not_finite_by_a_term_without_a_gradient(value):
    model = nn.Linear(3, 2)
    wrapper = AutocastOptimWrapper(dtype='float32', optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    before = model.weight.detach().clone()
    wrapper.update_params(model(torch.ones(2, 3)).sum() + value)
    assert wrapper.finite.item() is False and torch.equal(model.weight, before)
    wrapper.update_params(model(torch.ones(2, 3)).sum())
    assert wrapper.finite.item() is True and torch.allclose(model.weight, before - 0.2)


@pytest.mark.parametrize('how', ['in place', 'replaced', 'gone'])
def test_gradients_that_are_changed_after_the_backward_pass(how):
    model, wrapper, before = gradients_of(lambda model: None)
    weight = model[0].weight
    if how == 'in place':
        weight.grad[3, 4] = float('nan')
    else:
        weight.grad = torch.full_like(weight, float('nan')) if how == 'replaced' else None
    wrapper.step()
    assert wrapper.finite.item() is (how == 'gone')
    assert torch.equal(weight, before[0])
    assert torch.equal(model[1].bias, before[3]) is (how != 'gone')


def test_large_gradients_are_not_read_once_more(monkeypatch):
    read = []
    original = torch._foreach_norm
    monkeypatch.setattr(torch, '_foreach_norm', lambda grads: read.extend(g.shape for g in grads) or original(grads))
    _, wrapper, _ = gradients_of(lambda model: None)
    wrapper.step()
    assert wrapper.finite.item() and read == [(512,), (2, 512), (2,)] and wrapper.grad_norm is None


def test_under_accumulation_the_whole_update_is_left_out(images, tmp_path):
    wrapper = dict(
        type='mmimg2vec.AutocastOptimWrapper',
        dtype='float32',
        optimizer=dict(type='AdamW', lr=1e-2),
        accumulative_counts=3,
    )
    bad = train(images, tmp_path / 'bad', Poison(3), optim_wrapper=wrapper)
    expected = train(images, tmp_path / 'good', LeaveOut(5), optim_wrapper=wrapper)
    found = state(bad)
    assert all(torch.equal(found[key], value) for key, value in state(expected).items())
    (line,) = (tmp_path / 'bad/skipped_updates.jsonl').read_text().splitlines()
    assert json.loads(line)['iter'] == 5 and len(json.loads(line)['images']) == 12


def test_too_many_in_a_row_end_the_run(images, tmp_path):
    hooks = [dict(GUARD, max_in_a_row=3)]
    with pytest.raises(UserError, match=r'3 updates in a row, up to step 6.*--reproduce .*nonfinite_iter_6\.pth'):
        train(images, tmp_path / 'run', Poison(4, 5, 6), hooks)
    files = {path.name for path in (tmp_path / 'run').glob('*.pth')}
    # that of epoch 2, which ends with step 5, waits for a good one
    assert files == {'epoch_1.pth', 'nonfinite_iter_6.pth'}
    for name in files:
        weights = torch.load(tmp_path / 'run' / name, weights_only=True)['state_dict']
        assert all(value.isfinite().all() for value in weights.values())
    assert (tmp_path / 'run/last_checkpoint').read_text().endswith('epoch_1.pth')
    # with a good one between them it goes on
    train(images, tmp_path / 'other', Poison(3, 4, 6, 7), hooks)


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(x).square().mean()


def test_a_run_that_learnt_nothing_does_not_end_well(images, tmp_path):
    with pytest.raises(UserError, match=r'5 updates of 9 steps were left out .* nothing was learnt'):
        train(images, tmp_path, Poison(0, 2, 4, 6, 8))


@pytest.mark.parametrize('guarded', [True, False])
def test_running_statistics_are_restored(guarded):
    class Runner:
        iter, epoch, hooks, work_dir = 0, 0, [], '/nowhere'
        model = Normed()
        optim_wrapper = AutocastOptimWrapper(dtype='float32', optimizer=torch.optim.SGD(model.parameters(), lr=0.1))

        class message_hub:
            runtime_info: ClassVar = {}

    hook = FiniteGuardHook(interval=1)
    hook.look = lambda runner: None
    hook.before_train(Runner)
    Runner.model(torch.randn(4, 3))
    before = [buffer.clone() for buffer in Runner.model.buffers()]
    hook.before_train_iter(Runner, 0)
    loss = Runner.model(torch.full((4, 3), float('nan')))
    Runner.optim_wrapper.update_params(loss)
    if guarded:
        hook.after_train_iter(Runner, 0, None, {'loss': loss})
    same = all(torch.equal(a, b) for a, b in zip(Runner.model.buffers(), before, strict=True))
    assert same is guarded


def test_where_it_begins():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight[0, 0] = float('inf')
    report = StepReport(model)
    model(torch.ones(1, 2)).sum().backward()
    assert str(report).startswith('first output that is not finite: 0; ')
    report = StepReport(nn.Linear(2, 1))
    assert 'not reproduced' in str(report)


@pytest.mark.parametrize(('given', 'logged', 'interval'), [(None, 7, 7), (None, None, 10), (3, 7, 3)])
def test_the_flags_are_looked_at_as_often_as_is_logged(given, logged, interval):
    hooks = [Hook()] if logged is None else [Hook(), LoggerHook(interval=logged)]
    hub = SimpleNamespace(runtime_info=dict(skipped_updates=4))
    for step, total in ((0, 0), (5, 4)):  # a new run begins to count anew
        hook = FiniteGuardHook(interval=given)
        hook.before_train(SimpleNamespace(hooks=hooks, model=nn.Linear(1, 1), iter=step, message_hub=hub))
        assert (hook.interval, hook.total) == (interval, total)
    with pytest.raises(UserError, match='max_in_a_row=0 has to be 1 or more'):
        FiniteGuardHook(max_in_a_row=0)


def test_a_step_that_is_made_again_tells_its_images_and_ends(capsys):
    run = SimpleNamespace(model=nn.Linear(2, 1), iter=4, max_iters=9, _load_from='nonfinite_iter_4.pth')
    hook = ReproduceHook()
    hook.before_train(run)
    loss = run.model(torch.full((1, 2), float('nan'))).sum()
    loss.backward()
    samples = [DataSample(metainfo=dict(img_path=path)) for path in ('a.png', 'b.png')] + [DataSample()]
    with pytest.raises(SystemExit) as end:
        hook.after_train_iter(run, 0, dict(data_samples=samples), dict(loss=loss, name='text'))
    assert end.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["step 4: {'loss': nan}", 'images: a.png, b.png']
    assert lines[2].startswith('first output that is not finite: the whole model; 1 gradients are not finite')
    run.iter = 9
    with pytest.raises(UserError, match=r'nonfinite_iter_4\.pth is of the end of a run'):
        ReproduceHook().before_train(run)


def test_the_fifth_in_a_row_ends_a_run(tmp_path):
    hub = SimpleNamespace(update_info=lambda *_: None, update_scalar=lambda *_: None)
    saved = []
    run = SimpleNamespace(
        **dict(iter=0, epoch=0, work_dir=str(tmp_path), message_hub=hub, optim_wrapper=None),
        logger=SimpleNamespace(warning=lambda line: None),
        save_checkpoint=lambda folder, name, meta: saved.append((name, meta)),
    )
    hook = FiniteGuardHook()
    for run.iter, finite in enumerate([False] * 4 + [True] + [False] * 4):
        hook.unread = [(run.iter, torch.tensor(finite), torch.tensor(1.0), [])]
        hook.look(run)
    assert (hook.total, hook.in_a_row, saved) == (8, 4, [])
    run.iter = 9
    hook.unread = [(9, torch.tensor(False), torch.tensor(1.0), ['a.png'])]
    with pytest.raises(UserError, match='5 updates in a row, up to step 9'):
        hook.look(run)
    assert saved == [('nonfinite_iter_9.pth', dict(epoch=0, iter=9))]
    last = json.loads((tmp_path / 'skipped_updates.jsonl').read_text().splitlines()[-1])
    assert last == dict(iter=9, process=0, loss='1.0', images=['a.png'])
