"""What a start that ends after one step counts, refuses and leaves behind."""

import re
import tempfile
from pathlib import Path

import pytest
import torch
import toy
from mmengine.config import Config
from mmengine.hooks import Hook

from mmimg2vec.engine import check, disk_space, run_folder
from mmimg2vec.errors import UserError


def test_the_folder_is_looked_at_and_not_claimed(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, '_held', {})
    folder = tmp_path / 'run'
    run_folder.check_free(folder, resume=False)
    assert not folder.exists()
    run_folder.begin_run(folder, resume=False)
    with pytest.raises(UserError, match=r'another run is using .*run \(process'):
        run_folder.check_free(folder, resume=False)
    run_folder._held.popitem()[1].release()
    (folder / 'epoch_1.pth').touch()
    with pytest.raises(UserError, match='holds the results of another run'):
        run_folder.check_free(folder, resume=False)
    run_folder.check_free(folder, resume=True)
    run_folder.check_free(folder, resume=False, overwrite=True)


PARAMETERS = 3 * 64 * 12 + 12 + 2 * 12 + 12 * 6 + 6  # projection, norm, head of the toy model


@pytest.fixture
def started(images, tmp_path, monkeypatch):
    """``started(**kwargs)``: the rows of the table, and what the run printed or raised."""

    def start(hooks=(), **kwargs):
        made = toy.runner_of(images, tmp_path / 'temporary', **kwargs)
        made.cfg = Config(dict(train_cfg=kwargs.get('train_cfg') or dict(max_epochs=kwargs.get('epochs', 3))))
        hook = check.CheckHook(str(tmp_path / 'run'))
        made.register_hook(hook)
        for other in hooks:
            made.register_hook(other)
        with (
            pytest.raises((SystemExit, UserError)) as end,
            check.one_step(Config(dict(work_dir=str(tmp_path / 'temporary')))),
        ):
            made.train()
        return dict(hook.rows), end.value

    return start


def test_the_table(started, tmp_path, capsys):
    rows, end = started(epochs=4)
    assert end.code == 0 and not (tmp_path / 'temporary').exists()
    assert rows['training images'] == '12' and 'validation images' not in rows
    assert rows['trained'] == f'{PARAMETERS / 1e6:.2f} M parameters in 6 tensors'
    assert rows['batch'] == '4 images x 1 processes x 1 steps = 4 an update'
    assert rows['learning rate'] == '0.01'
    assert rows['length'] == '4 epochs of 3 steps, 12 in all'
    assert rows['schedule'] == 'LinearLR, CosineAnnealingLR to step 12 of 12'
    assert rows['folder'] == f'{tmp_path / "run"}, new'
    # max_keep_ckpts=2, two inside an epoch, and the one that is being written
    assert rows['disk'].endswith(' more for 5 checkpoints')
    assert rows['one step'].startswith('4 images in ')
    printed = capsys.readouterr().out
    assert 'ready' in printed and 'an update' in printed


def test_counts_in_steps_and_rates_of_layers(started, tmp_path):
    (tmp_path / 'run').mkdir()
    for number in range(6):
        (tmp_path / 'run' / f'epoch_{number}.pth').touch()
    optimizer = dict(type='AdamW', lr=1e-2)
    rows, _ = started(
        train_cfg=dict(by_epoch=False, max_iters=9),
        param_scheduler=[],
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=optimizer,
            accumulative_counts=2,
            paramwise_cfg=dict(custom_keys={'head': dict(lr_mult=0.1)}),
        ),
        default_hooks=dict(checkpoint=dict(type='mmimg2vec.SafeCheckpointHook', interval=1)),
    )
    assert rows['batch'] == '4 images x 1 processes x 2 steps = 8 an update'
    assert rows['length'] == '9 steps, 3.0 epochs'
    assert rows['folder'].endswith('which holds epoch_0.pth, epoch_1.pth, epoch_2.pth, epoch_3.pth')
    assert rows['disk'].endswith(' more for 4 checkpoints')  # that of the end, and as above


@pytest.mark.parametrize(
    ('epochs', 'schedule', 'text'),
    [
        (6, {}, 'LinearLR, CosineAnnealingLR to step 12 of 18: the learning rate stays as it is for the last 6 steps'),
        (2, {}, 'LinearLR, CosineAnnealingLR to step 12 of 6: too long for the training, which ends before the sch'),
        (3, dict(param_scheduler=[]), 'none: the learning rate is constant'),
        (3, dict(param_scheduler=[dict(type='MultiStepLR', milestones=[1, 2])]), 'MultiStepLR to epoch 2 of 3'),
        (3, dict(param_scheduler=[dict(type='MultiStepLR', milestones=[1, 9])]), 'MultiStepLR to epoch 9 of 3: too'),
    ],
)
def test_a_schedule_that_was_set_by_hand(started, epochs, schedule, text):
    rows, _ = started(epochs=epochs, **schedule)
    assert rows['schedule'].startswith(text) and (len(rows['schedule']) == len(text)) == (
        text[-3:] not in ('sch', 'too')
    )


def test_a_few_images_of_a_batch(started):
    """The batch of the config counts, for the learning rate too; of its images few are taken where there is no GPU."""
    batch = dict(inputs=torch.zeros(9, 3), mask=torch.zeros(9, 4), more=dict(data_samples=[1] * 9), name='x')
    check._shorten(batch, 4)
    assert [len(batch[key]) for key in ('inputs', 'mask')] == [4, 4] and batch['more']['data_samples'] == [1] * 4


@pytest.mark.parametrize(
    ('method', 'line'),
    [
        ('forward', r'model\.backbone \(ToyBackbone\) cannot make the first step: the width is wrong \(ValueError\)'),
        ('init_weights', r'model\.backbone \(ToyBackbone\) cannot be initialized: the width is wrong \(ValueError\)'),
    ],
)
def test_what_a_part_of_the_model_raises_is_one_line(started, monkeypatch, method, line):
    def fail(self, *_):
        raise ValueError('the width is wrong')

    monkeypatch.setattr(toy.ToyBackbone, method, fail, raising=False)
    _, end = started()
    found = re.fullmatch(rf'{line}; the trace is in (.*)', str(end))
    assert 'Traceback' in Path(found[1]).read_text()


def test_what_a_hook_raises_is_one_line(started):
    class Fail(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            raise KeyError('gone')

    _, end = started(hooks=[Fail()])
    assert str(end).startswith("the run cannot make the first step: 'gone' (KeyError); the trace is in ")


def test_a_run_goes_on_from_its_newest_checkpoint(started, images, tmp_path):
    made = toy.runner_of(images, tmp_path / 'run', hooks=[dict(type='mmimg2vec.LogHistoryHook')])
    made.train()
    cfg = Config(dict(work_dir=str(tmp_path / 'run'), resume=True, train_dataloader=dict(batch_size=4)))
    check.prepare_check(cfg)
    assert cfg.load_from == str(tmp_path / 'run' / 'epoch_3.pth')
    for epochs, last in ((4, '4 images in'), (3, 'none is left: the run is finished')):
        rows, end = started(epochs=epochs, resume=True, load_from=cfg.load_from)
        assert end.code == 0 and rows['one step'].startswith(last)
        assert f'goes on from {cfg.load_from} after 9 of {3 * epochs} steps' in rows['folder']
    cfg = Config(dict(work_dir=str(tmp_path / 'new'), resume=True, train_dataloader=dict(batch_size=4)))
    check.prepare_check(cfg)
    assert cfg.resume is False and cfg.load_from is None


@pytest.mark.parametrize(('spare', 'written', 'fits'), [(0, 0, True), (-1, 0, False), (-500, 600, True)])
def test_room_on_the_disk(started, tmp_path, monkeypatch, spare, written, fits):
    needed = 5 * 3 * 4 * PARAMETERS  # checkpoints, values of each parameter, bytes
    usage = type('Usage', (), dict(free=needed + spare))
    monkeypatch.setattr(disk_space.shutil, 'disk_usage', lambda _: usage)
    if written:
        (tmp_path / 'run').mkdir()
        (tmp_path / 'run' / 'epoch_1.pth').write_bytes(b'0' * written)
    _, end = started()
    assert isinstance(end, SystemExit) == fits
    assert fits or re.search('the disk of .* for 5 checkpoints, 0.. MiB each: make room', str(end))


def test_a_loss_that_is_not_finite(started, tmp_path):
    class Poison(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            data_batch['inputs'] = data_batch['inputs'].float() * float('nan')

    _, end = started(hooks=[Poison()])
    assert str(end).startswith('the loss of the first batch is nan') and not (tmp_path / 'temporary').exists()


def test_a_config_becomes_one_step(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    cfg = Config(dict(work_dir=str(tmp_path / 'a' / 'b'), train_dataloader=dict(batch_size=256), custom_hooks=[{}]))
    check.prepare_check(cfg)
    assert cfg.train_dataloader.batch_size == 256
    assert cfg.custom_hooks[1:] == [dict(type='mmimg2vec.CheckHook', work_dir=str(tmp_path / 'a' / 'b'))]
    assert Path(cfg.work_dir).is_dir() and not (tmp_path / 'a').exists() and cfg.log_level == 'WARNING'


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').touch()
    cfg = Config(dict(work_dir=str(tmp_path / 'file' / 'run'), train_dataloader=dict(batch_size=1)))
    with pytest.raises(UserError, match=f'--work-dir {tmp_path}/file/run cannot be written: .*file is a file'):
        check.prepare_check(cfg)


def test_a_step_is_made_again_from_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    cfg = Config(dict(val_cfg={}, val_dataloader={}, val_evaluator={}))
    with pytest.raises(UserError, match=r'--reproduce: no file gone\.pth'):
        check.prepare_reproduction(cfg, 'gone.pth')
    (tmp_path / 'nonfinite_iter_3.pth').touch()
    check.prepare_reproduction(cfg, str(tmp_path / 'nonfinite_iter_3.pth'))
    assert cfg.resume is True and cfg.load_from == str(tmp_path / 'nonfinite_iter_3.pth')
    assert cfg.val_cfg is cfg.val_dataloader is cfg.val_evaluator is None
    assert [hook['type'] for hook in cfg.custom_hooks] == ['mmimg2vec.ReproduceHook']
