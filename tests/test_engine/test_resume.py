"""A run that is stopped and resumed ends with the same weights, and its checkpoints load without executing code."""

import os

import numpy as np
import pytest
import torch
import toy
from mmengine.hooks import Hook

from mmimg2vec.engine.hooks import safe_checkpoint
from mmimg2vec.errors import UserError
from mmimg2vec.utils import write


class _StopAfter(Hook):
    def __init__(self, epochs, error):
        self.epochs, self.error = epochs, error

    def after_train_epoch(self, runner):
        if runner.epoch + 1 == self.epochs:
            raise self.error


class _Disturb(Hook):
    def __init__(self, seed):
        self.seed = seed

    def before_train_epoch(self, runner):
        torch.manual_seed(self.seed)


def weights(path):
    return torch.load(path, weights_only=True)['state_dict']


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize('seed', [1, None])
def test_resumed_run_is_bit_identical(images, tmp_path, seed):
    whole = toy.runner_of(images, tmp_path / 'whole', epochs=4, randomness=dict(seed=seed))
    whole.train()
    expected = weights(tmp_path / 'whole' / 'epoch_4.pth')

    class Stop(Exception):
        pass

    # With no seed in the config, the run that is resumed has to find the seed in the checkpoint.
    first = toy.runner_of(images, tmp_path / 'parts', epochs=4, randomness=dict(seed=whole.seed))
    first.register_hook(_StopAfter(2, Stop), priority='LOWEST')
    with pytest.raises(Stop):
        first.train()
    torch.manual_seed(99), np.random.seed(99)
    resumed = toy.runner_of(
        images,
        tmp_path / 'parts',
        epochs=4,
        resume=True,
        randomness=dict(seed=seed),
        train_dataloader={
            **toy.train_dataloader(images, persistent_workers=True),
            'num_workers': 2,
        },
    )
    resumed.train()
    assert equal(weights(tmp_path / 'parts' / 'epoch_4.pth'), expected)
    # the log histories went on
    for name in ('train/loss', 'train/lr'):
        got, want = (run.message_hub.get_scalar(name).data[0] for run in (resumed, whole))
        assert np.array_equal(got, want) and len(got) == 12


def test_the_comparison_can_fail(images, tmp_path):
    """Without the seeded steps, dropout differs after a resume."""
    outcomes = []
    for name in ('first', 'second'):
        run = toy.runner_of(images, tmp_path / name, epochs=1, custom_hooks=[])
        run.register_hook(_Disturb(4 if name == 'first' else 5))
        run.train()
        outcomes.append(weights(tmp_path / name / 'epoch_1.pth'))
    assert not equal(*outcomes)


def test_checkpoints_are_plain_and_whole(images, tmp_path):
    run = toy.runner_of(images, tmp_path / 'run', epochs=4)
    run.message_hub.update_info('odd', np.float32(3))
    run.train()
    files = sorted(os.listdir(tmp_path / 'run'))
    assert [name for name in files if name.endswith(('.pth', '.part'))] == [
        'epoch_3.pth',
        'epoch_4.pth',
    ]
    assert (tmp_path / 'run' / 'last_checkpoint').read_text().endswith('epoch_4.pth')
    loaded = torch.load(tmp_path / 'run' / 'epoch_4.pth', weights_only=True)
    assert set(loaded) == {'meta', 'state_dict', 'message_hub', 'optimizer', 'param_schedulers'}
    assert loaded['message_hub']['runtime_info']['odd'] == 3.0
    assert not any('target' in name for name in loaded['state_dict'])


def test_a_run_killed_while_saving_keeps_its_last_checkpoint(images, tmp_path, monkeypatch):
    run = toy.runner_of(
        images,
        tmp_path / 'run',
        epochs=3,
        default_hooks=dict(checkpoint=dict(type='mmimg2vec.SafeCheckpointHook', interval=1, max_keep_ckpts=1)),
    )

    def die(checkpoint, filename, **kwargs):
        if 'epoch_2' in filename:
            with open(filename, 'wb') as file:
                file.write(b'half')
            raise KeyboardInterrupt
        torch.save(checkpoint, filename)

    monkeypatch.setattr('mmengine.runner.runner.save_checkpoint', die)
    with pytest.raises(KeyboardInterrupt):
        run.train()
    monkeypatch.undo()
    resumed = toy.runner_of(images, tmp_path / 'run', epochs=3, resume=True)
    resumed.train()
    assert resumed.iter == 9
    whole = toy.runner_of(images, tmp_path / 'whole', epochs=3)
    whole.train()
    assert equal(weights(tmp_path / 'run' / 'epoch_3.pth'), weights(tmp_path / 'whole' / 'epoch_3.pth'))


@pytest.mark.parametrize('step', ['rename', 'pointer'])
def test_killed_between_two_steps_of_saving(images, tmp_path, monkeypatch, step):
    """Whatever ``last_checkpoint`` names is there, and whole: the oldest file goes last."""
    hook = dict(type='mmimg2vec.SafeCheckpointHook', interval=1, max_keep_ckpts=1)
    run = toy.runner_of(images, tmp_path / 'run', epochs=3, default_hooks=dict(checkpoint=hook))
    module, name = (write, 'move_into_place') if step == 'rename' else (safe_checkpoint, 'write_text')
    original = getattr(module, name)

    def die(*args):
        if str(args[1]).endswith('epoch_2.pth'):  # the checkpoint's name, or the pointer's content
            raise KeyboardInterrupt
        original(*args)

    monkeypatch.setattr(module, name, die)
    with pytest.raises(KeyboardInterrupt):
        run.train()
    named = (tmp_path / 'run' / 'last_checkpoint').read_text()
    assert named.endswith('epoch_1.pth') and weights(named)
    assert os.path.isfile(tmp_path / 'run' / 'epoch_2.pth') == (step == 'pointer')


def test_load_from_starts_a_new_run(images, tmp_path):
    toy.runner_of(images, tmp_path / 'run', epochs=1).train()
    path = tmp_path / 'run' / 'epoch_1.pth'
    run = toy.runner_of(images, tmp_path / 'new', epochs=1, load_from=str(path))
    run.load_or_resume()
    assert run.epoch == 0
    assert equal(run.model.state_dict(), weights(path))


def test_another_teacher_at_resume(images, tmp_path):
    hooks = [dict(type='mmimg2vec.TeacherGuardHook')]
    toy.runner_of(images, tmp_path / 'run', epochs=1, hooks=hooks).train()
    other = dict(type='ToyPretrainer', teacher_seed=1)
    run = toy.runner_of(images, tmp_path / 'run', 2, hooks, resume=True, model=other)
    with pytest.raises(UserError, match='the teacher has changed'):
        run.train()
    toy.runner_of(images, tmp_path / 'run', 2, hooks, resume=True).train()
    path = str(tmp_path / 'run' / 'epoch_2.pth')
    toy.runner_of(images, tmp_path / 'other', 1, hooks, load_from=path, model=other).train()
