"""Checkpoints inside epochs are exact, the newest good one is found, and a full disk does not end a run."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import torch
import toy
from mmengine.hooks import Hook
from mmengine.logging import MMLogger

from mmimg2vec.checkpoint.newest import checksum_path, newest_checkpoint, write_checksum
from mmimg2vec.datasets import ShardedImages
from mmimg2vec.datasets.shards.writing import ShardOptions, make_shards
from mmimg2vec.engine import disk_space, run_folder
from mmimg2vec.engine.hooks import safe_checkpoint
from mmimg2vec.errors import UserError

HOOKS = [
    dict(type='mmimg2vec.RunFolderHook'),
    dict(type='mmimg2vec.ResumeGuardHook'),
    dict(type='mmimg2vec.LogHistoryHook'),
]


class Killed(Exception):
    pass


class KillAfter(Hook):
    priority = 'LOWEST'

    def __init__(self, step):
        self.step = step

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.step:
            raise Killed


@pytest.fixture(autouse=True)
def released(monkeypatch):
    """This process plays several starts: what one of them holds goes with it."""
    held = {}
    monkeypatch.setattr(run_folder, '_held', held)
    yield held
    for lock in held.values():
        lock.release()


@pytest.fixture
def run(images, tmp_path, released):
    def run(folder='run', kill=None, epochs=3, accumulation=1, workers=0, saving=None, masks=1, **kwargs):
        for key in list(released):
            released.pop(key).release()
        checkpoint = dict(
            type='mmimg2vec.SafeCheckpointHook', interval=1, max_keep_ckpts=2, **(saving or dict(steps=1))
        )
        config = dict(
            train_cfg=dict(type='mmimg2vec.CheckedTrainLoop', max_epochs=epochs),
            train_dataloader={**toy.train_dataloader(images, masks), 'num_workers': workers, 'batch_size': 2},
            optim_wrapper=dict(
                type='mmimg2vec.AutocastOptimWrapper',
                dtype='float32',
                optimizer=dict(type='AdamW', lr=1e-2),
                accumulative_counts=accumulation,
            ),
            default_hooks=dict(checkpoint=checkpoint, logger=dict(type='LoggerHook', interval=1)),
            resume=(tmp_path / folder).exists(),
        )
        runner = toy.runner_of(images, tmp_path / folder, epochs=epochs, hooks=HOOKS, **{**config, **kwargs})
        if kill is None:
            runner.train()
        else:
            runner.register_hook(KillAfter(kill))
            with pytest.raises(Killed):
                runner.train()
        return runner

    return run


def final(folder):
    state = torch.load(folder / 'epoch_3.pth', weights_only=True)
    moments = [v for s in state['optimizer']['state'].values() for v in s.values()]
    return [*state['state_dict'].values(), *moments]


def same(first, second):
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def names(folder, pattern='*.pth'):
    return sorted(path.name for path in folder.glob(pattern))


# 12 images in batches of 2 are 6 steps an epoch. 4 steps an update do not divide that.
@pytest.mark.parametrize(
    ('accumulation', 'kills', 'workers', 'asynchronous', 'masks', 'stored'),
    [
        (1, (1, 4, 6, 7, 13, 17), 0, False, 1, 'files'),
        (1, (8,), 2, False, 1, 'files'),
        (1, (8,), 2, False, 4, 'files'),
        (4, (3, 5, 9, 14), 0, False, 1, 'files'),
        (1, (5, 11), 0, True, 1, 'files'),
        (1, (2, 9), 2, False, 1, 'shards'),
    ],
)
def test_killed_inside_epochs_and_resumed(
    run, images, tmp_path, accumulation, kills, workers, asynchronous, masks, stored, monkeypatch
):
    if stored == 'shards':
        make_shards(images, tmp_path / 'shards', ShardOptions(per_shard=5), report=lambda line: None)
        of_files = toy.train_dataloader
        monkeypatch.setattr(toy, 'train_dataloader', lambda folder, *args: of_files(tmp_path / 'shards', *args))
    run('whole', accumulation=accumulation, masks=masks)
    saving = dict(steps=1, asynchronous=asynchronous)
    for step in kills:
        run(kill=step, accumulation=accumulation, workers=workers, saving=saving, masks=masks)
    resumed = run(accumulation=accumulation, saving=saving, masks=masks)  # with another number of workers
    assert isinstance(resumed.train_dataloader.dataset.dataset, ShardedImages) == (stored == 'shards')
    assert resumed.iter == 18
    assert same(final(tmp_path / 'run'), final(tmp_path / 'whole'))
    # inner checkpoints are gone when the last regular one is there
    assert names(tmp_path / 'run') == ['epoch_2.pth', 'epoch_3.pth']
    assert names(tmp_path / 'run', '*.sha256') == ['epoch_2.pth.sha256', 'epoch_3.pth.sha256']


def test_nothing_is_saved_while_gradients_are_accumulated(run, tmp_path):
    run(kill=7, accumulation=4)  # the checkpoint of epoch 1 (step 6) waits for step 8
    assert names(tmp_path / 'run') == ['iter_4.pth']
    run(kill=9, accumulation=4)
    assert names(tmp_path / 'run') == ['epoch_1.pth']
    assert torch.load(tmp_path / 'run/epoch_1.pth', weights_only=True)['meta']['iter'] == 8


def test_minutes_between_two_checkpoints(run, tmp_path, monkeypatch):
    clock = [0]
    monkeypatch.setattr(safe_checkpoint.time, 'monotonic', lambda: clock[0])

    class Tick(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            clock[0] += 25

    hooks = [dict(type='mmimg2vec.SeededStepHook'), *HOOKS, dict(type=Tick)]
    run(kill=5, saving=dict(minutes=1), custom_hooks=hooks)
    assert names(tmp_path / 'run') == ['iter_3.pth']


def damage(path, how):
    data = path.read_bytes()
    path.write_bytes({'cut': data[: len(data) // 2], 'zero': b'', 'flipped': data[:-9000] + b'!!' + data[-8998:]}[how])


@pytest.mark.parametrize('how', ['cut', 'zero', 'flipped'])
def test_the_newest_whole_checkpoint_counts(run, tmp_path, how):
    run('whole')
    run(kill=15)
    folder = tmp_path / 'run'
    assert newest_checkpoint(folder).name == 'iter_15.pth'
    damage(folder / 'iter_15.pth', how)
    notes = []
    assert newest_checkpoint(folder, notes.append).name == 'iter_14.pth'
    assert len(notes) == 1 and re.search(r'iter_15\.pth .*it is left out', notes[0])
    run()
    assert same(final(folder), final(tmp_path / 'whole'))


@pytest.mark.parametrize('pointer', [None, b'nowhere/epoch_9.pth', b'\xa6\x00garbage'])
def test_the_pointer_is_not_asked(run, tmp_path, pointer):
    run('whole')
    run(kill=15)
    path = tmp_path / 'run/last_checkpoint'
    path.unlink() if pointer is None else path.write_bytes(pointer)
    (tmp_path / 'run/epoch_99.pth').mkdir()
    assert run().iter == 18
    assert same(final(tmp_path / 'run'), final(tmp_path / 'whole'))


def test_a_moved_and_a_copied_folder(run, tmp_path):
    run('whole')
    run(kill=8)
    (tmp_path / 'run').rename(tmp_path / 'moved')
    shutil.copytree(tmp_path / 'moved', tmp_path / 'copied')
    run('moved', kill=16)  # further than the copy
    for name in ('copied', 'moved'):
        run(name)
        assert same(final(tmp_path / name), final(tmp_path / 'whole'))


def test_never_from_zero_over_files_that_are_there(run, tmp_path):
    run(kill=8)
    for path in (tmp_path / 'run').glob('*.pth'):
        damage(path, 'cut')
    with pytest.raises(UserError, match=r'none of the 3 checkpoints in .*run is whole'):
        run()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(epochs=5), '18 steps of the whole schedule then, 30 now'),
        (dict(accumulation=2), '1 steps per update then, 2 now'),
    ],
)
def test_other_arithmetic_is_refused(run, change, message):
    run(kill=8)
    with pytest.raises(UserError, match=message):
        run(**change)


def lack(state):
    del state['optimizer']


def fewer(state):
    del state['state_dict'][max(state['state_dict'])]


def wider(state):
    name = max(state['state_dict'])
    state['state_dict'][name] = torch.cat(2 * [state['state_dict'][name]])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lack, r'iter_8\.pth is no checkpoint of a run \(no optimizer\)'),
        (fewer, r'iter_8\.pth is of another network \(no '),
        (wider, r'iter_8\.pth is of another network \(size mismatch for '),
    ],
)
def test_what_is_not_of_this_run_is_not_gone_on_from(run, tmp_path, change, message):
    run(kill=8)
    path = tmp_path / 'run/iter_8.pth'
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)
    write_checksum(path)
    with pytest.raises(UserError, match=message):
        run()


def spoil_a_weight(path):
    state = torch.load(path, weights_only=True)
    next(iter(state['state_dict'].values())).fill_(float('nan'))
    torch.save(state, path)


def test_weights_that_are_not_finite_are_never_taken(run, tmp_path):
    run(kill=15)
    newest = tmp_path / 'run/iter_15.pth'
    spoil_a_weight(newest)
    newest.with_name('iter_15.pth.sha256').unlink()
    notes = []
    assert newest_checkpoint(tmp_path / 'run', notes.append).name == 'iter_14.pth'
    assert len(notes) == 1 and 'not finite' in notes[0]
    with pytest.raises(UserError, match=r'iter_15\.pth: .* is not finite'):
        run('other', load_from=str(newest))


@pytest.mark.parametrize('text', [b'', b'\xa6\x00', b'0' * 64 + b'  epoch_2.pth\n'])
def test_a_checksum_that_does_not_fit(run, tmp_path, text):
    run(kill=15)
    (tmp_path / 'run/iter_15.pth.sha256').write_bytes(text)
    assert newest_checkpoint(tmp_path / 'run').name == 'iter_14.pth'


def test_what_cannot_be_written(run, tmp_path, monkeypatch):
    original, broken = safe_checkpoint.save_atomically, []

    def save(checkpoint, path):
        if any(name in str(path) for name in broken):
            raise OSError(28, 'No space left on device')
        original(checkpoint, path)

    monkeypatch.setattr(safe_checkpoint, 'save_atomically', save)
    broken[:] = ['iter_2.pth', 'iter_3.pth', 'iter_9.pth']
    run()  # two in a row, and one later
    assert not names(tmp_path / 'run', '*.part')
    broken[:] = ['iter_']
    with pytest.raises(UserError, match=r'iter_3\.pth cannot be written .*No space left.*3 checkpoints in a row'):
        run('other')


@pytest.mark.parametrize(('room', 'ends'), [(0.5, True), (2, False), (5, None)])
def test_room_is_looked_at_first(run, tmp_path, monkeypatch, room, ends):
    """None for one checkpoint ends the run, too little for all is a warning."""
    size = 3 * 4 * (3 * 64 * 12 + 12 + 2 * 12 + 12 * 6 + 6)
    usage = type('Usage', (), dict(free=int(room * size)))
    monkeypatch.setattr(disk_space.shutil, 'disk_usage', lambda _: usage)
    warnings = []
    monkeypatch.setattr(MMLogger, 'warning', lambda self, line, *_: warnings.append(line))
    if ends:
        with pytest.raises(UserError, match=r'the disk of .* for 5 checkpoints'):
            run()
    else:
        run(kill=1)
    assert any('for 5 checkpoints' in line for line in warnings) == (ends is False)


def test_weights_that_are_not_finite_are_never_saved(run, tmp_path):
    class Spoil(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if runner.iter == 7:
                runner.model.head.weight.data[0, 0] = float('inf')

    hooks = [dict(type='mmimg2vec.SeededStepHook'), *HOOKS, dict(type=Spoil)]
    with pytest.raises(UserError, match=r'step 7: head\.weight is not finite'):
        run(custom_hooks=hooks)
    newest = newest_checkpoint(tmp_path / 'run')
    assert newest.name == 'iter_7.pth'
    assert checksum_path(newest).exists() and os.path.getsize(newest) > 1000


def test_an_update_that_ruins_the_weights_takes_no_good_checkpoint_with_it(run, tmp_path):
    """Its weights are finite, and too large for the next step, after which nothing is saved any more."""

    class Ruin(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            for group in runner.optim_wrapper.optimizer.param_groups:
                group['lr'] = 1e30 if runner.iter == 7 else 1e-2

    hooks = [dict(type='mmimg2vec.SeededStepHook'), *HOOKS, dict(type=Ruin)]
    guard = dict(type='mmimg2vec.FiniteGuardHook', max_in_a_row=4)
    with pytest.raises(UserError, match='4 updates in a row'):
        run(custom_hooks=[*hooks, guard])
    kept = {
        path.name: torch.load(path, weights_only=True)['state_dict'] for path in (tmp_path / 'run').glob('iter_*.pth')
    }
    assert set(kept) == {'iter_7.pth', 'iter_8.pth'}  # step 8 is ruined, which nothing has shown yet when it is saved
    assert all(value.abs().max() < 100 for value in kept['iter_7.pth'].values())


def test_asked_to_stop_before_the_first_step(tmp_path):
    """While a run is being built there is nothing to save; the launcher is told all the same."""
    code = 'import os, signal; from mmimg2vec.engine.hooks.preemption import stop_when_asked; stop_when_asked(); '
    marker = tmp_path / 'marker'
    for name in ('SIGTERM', 'SIGUSR1'):
        command = [sys.executable, '-c', f'{code}os.kill(os.getpid(), signal.{name})']
        result = subprocess.run(command, env={**os.environ, 'MMIMG2VEC_PREEMPTED': str(marker)})
        assert result.returncode == 75 and marker.exists()
        marker.unlink()
