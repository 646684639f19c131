"""A run that is told to go away ends with a checkpoint, status 75 and its signals given back."""

import os
import signal

import pytest
import toy
from mmengine.hooks import Hook

from mmimg2vec.checkpoint.safe_load import safe_load
from mmimg2vec.engine.hooks.preemption import MARKER, PREEMPTED, PreemptionHook
from mmimg2vec.errors import UserError

SAVING = dict(checkpoint=dict(type='mmimg2vec.SafeCheckpointHook', interval=1))


class Ask(Hook):
    """Sends the process a signal in a step of training, or of validation."""

    priority = 'VERY_HIGH'

    def __init__(self, step, mode='train', sent=signal.SIGTERM):
        self.step, self.mode, self.sent = step, mode, sent

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if self.mode == 'train' and runner.iter == self.step:
            os.kill(os.getpid(), self.sent)

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if self.mode == 'val':
            os.kill(os.getpid(), self.sent)


def run(images, folder, *hooks, **kwargs):
    made = toy.runner_of(images, folder, default_hooks=SAVING, hooks=[dict(type='mmimg2vec.PreemptionHook')], **kwargs)
    for hook in hooks:
        made.register_hook(hook)
    return made


def accumulating(counts):
    return dict(
        type='mmimg2vec.AutocastOptimWrapper',
        dtype='float32',
        optimizer=dict(type='AdamW', lr=1e-2),
        accumulative_counts=counts,
    )


@pytest.mark.parametrize(('sent', 'counts', 'last'), [(signal.SIGTERM, 1, 2), (signal.SIGUSR1, 3, 3)])
def test_it_ends_after_the_step_with_a_checkpoint(images, tmp_path, monkeypatch, sent, counts, last):
    monkeypatch.setenv(MARKER, str(tmp_path / 'preempted'))
    before = signal.getsignal(sent)
    made = run(images, tmp_path / 'run', Ask(1, sent=sent), epochs=2, optim_wrapper=accumulating(counts))
    try:
        with pytest.raises(SystemExit) as end:
            made.train()
    finally:
        for each in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(each, before)
    assert end.value.code == PREEMPTED == 75
    assert (tmp_path / 'preempted').exists()
    newest = max((safe_load(path, 'cpu')['meta']['iter'], path.name) for path in (tmp_path / 'run').glob('*.pth'))
    assert newest[0] == last  # where gradients are accumulated, after the update


def test_a_validation_ends_without_a_checkpoint():
    saved = []
    run = type('Run', (), dict(hooks=[type('Saver', (), dict(save_now=lambda _, r: saved.append(r)))()], iter=4))()
    run.logger = type('Logger', (), dict(info=lambda _, line: saved.append(line)))()
    hook = PreemptionHook()
    hook.asked = 'SIGTERM'
    hook.after_val_iter(run, 0)  # outside of training, as in a test, the signals are not the hook's
    assert saved == []
    hook.before_train(run)
    try:
        with pytest.raises(SystemExit) as end:
            hook.after_val_iter(run, 0)
    finally:
        hook.after_train(run)
    assert end.value.code == PREEMPTED
    assert saved == ['SIGTERM: the run ends after step 5; --resume goes on from there']


def test_signals_are_given_back_and_a_run_that_nobody_asked_goes_on():
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGUSR1)]
    hook = PreemptionHook()
    hook.before_train(None)
    assert signal.getsignal(signal.SIGUSR1) == hook._note
    hook.after_train_iter(None, 0)
    hook.after_val_iter(None, 0)
    hook.after_train(None)
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGUSR1)] == before


def test_a_signal_that_does_not_exist():
    with pytest.raises(UserError, match="no signal 'SIGTREM'"):
        PreemptionHook(signals=('SIGTERM', 'SIGTREM'))
