"""Compiled in place: the same tensors under the same names, and a failure is one line."""

import copy
from types import SimpleNamespace

import pytest
import tiny_models
import torch
import toy
from torch import nn

from mmimg2vec.engine.hooks import CompileHook
from mmimg2vec.engine.hooks.compilation import compiled_parts
from mmimg2vec.errors import UserError


def runner_of(images, folder, epochs=2, resume=False, drop_path=0.0, **options):
    """A run of the tiny Img2Vec, compiled where a backend is named."""
    default_hooks = dict(checkpoint=dict(type='mmimg2vec.SafeCheckpointHook', interval=1, max_keep_ckpts=2))
    if options:
        default_hooks['compile'] = dict(type='mmimg2vec.CompileHook', **options)
    loader = toy.train_dataloader(images)
    pipeline = loader['dataset']['dataset']['pipeline']
    pipeline[1]['scale'], pipeline[2]['patch_size'] = 64, 16
    cfg = copy.deepcopy(tiny_models.IMG2VEC)
    cfg['backbone']['drop_path_rate'] = drop_path
    return toy.runner_of(
        images, folder, epochs, model=cfg, train_dataloader=loader, default_hooks=default_hooks, resume=resume
    )


def weights(folder, epoch=2):
    return torch.load(folder / f'epoch_{epoch}.pth', weights_only=True)['state_dict']


def close(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        other = second[name]
        # A key's bias has no effect and a gradient of zero, of whose rounding Adam makes whole steps.
        if name.endswith('qkv.bias'):
            value, other = (torch.cat((bias.chunk(3)[0], bias.chunk(3)[2])) for bias in (value, other))
        elif name.endswith('key_value.bias'):
            value, other = (bias.chunk(2)[1] for bias in (value, other))
        torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize('backend', ['aot_eager', pytest.param('inductor', marks=pytest.mark.slow)])
def test_checkpoints_of_both_kinds_resume_each_other(images, tmp_path, backend):
    compiled = dict(backend=backend, on_failure='stop')
    runner_of(images, tmp_path / 'plain').train()
    expected = weights(tmp_path / 'plain')
    for name, first, second in (('begins', compiled, {}), ('ends', {}, compiled)):
        runner_of(images, tmp_path / name, epochs=1, **first).train()
        run = runner_of(images, tmp_path / name, resume=True, **second)
        run.train()
        close(weights(tmp_path / name), expected)
    parts = compiled_parts(run.model)
    assert len(parts) == 4 + 1 + 1  # blocks of the student, of the neck, the teacher
    assert all(part._compiled_call_impl is not None for part in parts)


def test_drop_path_is_the_same_after_a_resume(images, tmp_path):
    options = dict(backend='aot_eager', on_failure='stop', drop_path=0.5)
    runner_of(images, tmp_path / 'whole', **options).train()
    runner_of(images, tmp_path / 'parts', epochs=1, **options).train()
    runner_of(images, tmp_path / 'parts', resume=True, **options).train()
    whole, parts = (weights(tmp_path / name) for name in ('whole', 'parts'))
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


def broken(graph, inputs):
    raise RuntimeError('no compiler\nin many lines')


@pytest.mark.parametrize('on_failure', ['fallback', 'stop'])
def test_a_failure_falls_back_or_stops(images, tmp_path, on_failure):
    run = runner_of(images, tmp_path / 'run', backend=broken, on_failure=on_failure)
    message = r'cannot be compiled by broken \(no compiler\)'
    if on_failure == 'stop':
        with pytest.raises(UserError, match=message):
            run.train()
        return
    lines = []
    run.logger.warning = lines.append
    run.train()
    (line,) = [line for line in lines if 'compiled' in line]
    assert line == 'the model cannot be compiled by broken (no compiler): the run goes on without'
    runner_of(images, tmp_path / 'plain').train()
    expected = weights(tmp_path / 'plain')
    assert all(torch.equal(value, expected[name]) for name, value in weights(tmp_path / 'run').items())


def test_other_models_and_options_are_named(images, tmp_path):
    with pytest.raises(UserError, match="on_failure='ignore': choose 'fallback' or 'stop'"):
        runner_of(images, tmp_path / 'run', backend='eager', on_failure='ignore').train()
    other = SimpleNamespace(model=nn.Linear(1, 1), train_dataloader=SimpleNamespace(dataset=[]))
    with pytest.raises(UserError, match='CompileHook compiles pre-training models'):
        CompileHook().before_train(other)
