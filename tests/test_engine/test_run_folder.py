"""Two runs never share a folder, and none writes over the results of another."""

import subprocess
import sys
import time

import pytest
import toy

from mmimg2vec.engine import run_folder
from mmimg2vec.engine.run_folder import begin_run
from mmimg2vec.errors import UserError

HOLDER = """
import sys, time
from mmimg2vec.engine.run_folder import begin_run
begin_run(sys.argv[1], resume=False)
print('held', flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def released(monkeypatch):
    """This process plays several starts."""
    held = {}
    monkeypatch.setattr(run_folder, '_held', held)
    yield
    for lock in held.values():
        lock.release()


def test_a_second_start_is_refused_while_the_first_lives(tmp_path):
    folder = tmp_path / 'run'
    process = subprocess.Popen([sys.executable, '-c', HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == 'held\n'
        with pytest.raises(UserError, match=rf'another run is using .*process {process.pid} on .*, since 20'):
            begin_run(folder, resume=True)
    finally:
        process.kill()
        process.wait()
    begin_run(folder, resume=True)  # a killed process holds nothing


def test_results_of_another_run_are_refused_kept_or_set_aside(tmp_path, capsys):
    for name in ('epoch_1.pth', 'backbone.pth', 'last_checkpoint', 'notes.txt'):
        (tmp_path / name).write_text(name)
    with pytest.raises(
        UserError, match=r'holds the results of another run \(backbone\.pth, epoch_1\.pth, last_checkpoint\)'
    ):
        begin_run(tmp_path, resume=False)
    assert (tmp_path / 'backbone.pth').read_text() == 'backbone.pth'
    run_folder._held.popitem()[1].release()
    begin_run(tmp_path, resume=True)
    run_folder._held.popitem()[1].release()
    begin_run(tmp_path, resume=False, overwrite=True)
    (aside,) = tmp_path.glob('overwritten_*')
    assert sorted(path.name for path in aside.iterdir()) == ['backbone.pth', 'epoch_1.pth', 'last_checkpoint']
    assert (tmp_path / 'notes.txt').exists() and not (tmp_path / 'backbone.pth').exists()
    assert str(aside) in capsys.readouterr().out


@pytest.mark.parametrize('begin', [begin_run, run_folder.check_free])
def test_a_lock_that_cannot_be_taken(tmp_path, begin):
    (tmp_path / '.lock').mkdir()  # as on a disk that may not be written, also for root
    with pytest.raises(UserError, match=rf'{tmp_path} cannot be the folder of a run: .*name another --work-dir'):
        begin(tmp_path, resume=False)


def test_the_hook_asks_for_any_start(images, tmp_path):
    hooks = [dict(type='mmimg2vec.RunFolderHook')]
    toy.runner_of(images, tmp_path / 'run', epochs=1, hooks=hooks).train()
    run_folder._held.popitem()[1].release()
    time.sleep(1)  # mmengine names a folder of the log by the second
    with pytest.raises(UserError, match=r'holds the results of another run \(epoch_1\.pth'):
        toy.runner_of(images, tmp_path / 'run', epochs=2, hooks=hooks).train()
    time.sleep(1)
    named = dict(resume=True, load_from=str(tmp_path / 'gone.pth'))
    # A checkpoint that is named is not replaced by the newest.
    with pytest.raises(UserError, match=r'no checkpoint .*gone\.pth'):
        toy.runner_of(images, tmp_path / 'run', epochs=2, hooks=hooks, **named).train()
    run_folder._held.popitem()[1].release()
    toy.runner_of(images, tmp_path / 'run', epochs=2, hooks=hooks, resume=True).train()
    assert (tmp_path / 'run/epoch_2.pth').exists()
