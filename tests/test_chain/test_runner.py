"""Running a chain: order, what is skipped, what fails, what a kill leaves behind."""

import fcntl
import json
import os
import signal
import subprocess
import time
from functools import partial

import pytest

from mmimg2vec.chain.orphans import chain_variable, end_orphans, find_processes
from mmimg2vec.errors import UserError


def test_stages_run_once_and_in_order(toy):
    toy.write(toy.stage('a'), toy.stage('b', needs=['a']), toy.stage('c', needs=['b']))
    failed, lines = toy.run()
    assert not failed
    assert toy.logged == [f'{name} {what}' for name in 'abc' for what in ('starts', 'ends')]
    assert toy.record('a')['seconds'] >= 0
    failed, lines = toy.run()
    assert len(toy.logged) == 6
    assert lines == [f'[{name}] finished before' for name in 'abc']


def test_two_at_a_time(toy):
    toy.write(toy.stage('a', 1.0), toy.stage('b', 1.0), toy.stage('c', needs=['a', 'b']), jobs=2)
    toy.run()
    assert toy.logged[:2] in (['a starts', 'b starts'], ['b starts', 'a starts'])
    assert toy.logged[4:] == ['c starts', 'c ends']


def test_a_stage_waits_for_what_it_needs_though_a_place_is_free(toy):
    toy.write(toy.stage('a', 0.5), toy.stage('b', needs=['a']), jobs=2)
    toy.run()
    assert toy.logged == ['a starts', 'a ends', 'b starts', 'b ends']


def test_no_more_stages_at_a_time_than_jobs(toy):
    toy.write(*(toy.stage(name, 0.6) for name in 'abc'), jobs=2)
    toy.run()
    at_once = [0]
    for line in toy.logged:
        at_once.append(at_once[-1] + (1 if line.endswith('starts') else -1))
    assert max(at_once) == 2


@pytest.mark.parametrize(('jobs', 'given', 'threads'), [(2, None, True), (1, None, False), (2, '3', False)])
def test_stages_side_by_side_share_the_cores(toy, monkeypatch, jobs, given, threads):
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    if given:
        monkeypatch.setenv('OMP_NUM_THREADS', given)
    monkeypatch.setattr('os.sched_getaffinity', lambda _: set(range(9)))
    stage = toy.stage('a')
    stage['command'] = [str(toy.folder / 'show.py')]
    (toy.folder / 'show.py').write_text("import os; print('threads', os.environ.get('OMP_NUM_THREADS'))")
    toy.write(stage, jobs=jobs)
    toy.run()
    console = (toy.work_dir / 'a' / 'console.log').read_text()
    assert f'threads {"4" if threads else given}\n' in console


def test_a_failure_is_named_with_its_log_and_the_rest_goes_on(toy):
    toy.write(toy.stage('a', status=2), toy.stage('b', needs=['a']), toy.stage('c'))
    failed, lines = toy.run()
    assert failed == ['a', 'b']
    (line,) = [line for line in lines if 'FAILED' in line]
    assert 'no such data in /nowhere' in line and str(toy.work_dir / 'a' / 'console.log') in line
    assert any('[b] left out' in line for line in lines)
    assert toy.record('c')
    # The cause mended, the same command finishes what is left.
    toy.write(toy.stage('a'), toy.stage('b', needs=['a']), toy.stage('c'))
    failed, _ = toy.run()
    assert not failed and toy.logged.count('c starts') == 1


def test_one_failed_need_is_enough_to_leave_a_stage_out(toy):
    toy.write(toy.stage('good'), toy.stage('bad', status=1), toy.stage('both', needs=['good', 'bad']))
    failed, lines = toy.run()
    assert failed == ['bad', 'both']
    assert '[both] left out: it needs a stage that failed' in lines
    assert 'both starts' not in toy.logged and not (toy.work_dir / 'both').exists()


def test_a_stage_ended_by_a_signal_is_named_so(toy):
    stage = toy.stage('a')
    stage['command'] = [str(toy.folder / 'end.py')]
    (toy.folder / 'end.py').write_text('import os; os.kill(os.getpid(), 9)')
    toy.write(stage)
    failed, lines = toy.run()
    assert failed == ['a'] and any(line.startswith('[a] FAILED (SIGKILL)') for line in lines)


def test_seconds_of_all_attempts_count(toy):
    toy.write(toy.stage('a', 0.3, status=3))
    (toy.work_dir / 'a').mkdir(parents=True)
    (toy.work_dir / 'a' / 'seconds.json').write_text('100.0')
    _, lines = toy.run()
    assert any('FAILED (status 3)' in line for line in lines)
    first = json.loads((toy.work_dir / 'a' / 'seconds.json').read_text())
    assert 100.2 <= first < 110
    toy.write(toy.stage('a'))
    _, lines = toy.run()
    assert first <= toy.record('a')['seconds'] < first + 10
    assert lines[-1] == '[a] finished (1:40 min)'


def test_running_stages_are_reported_on_the_way(toy):
    stage = toy.stage('a')
    stage['command'] = [str(toy.folder / 'train.py')]
    (toy.folder / 'train.py').write_text(
        "import time; print('- Epoch(train) [2][ 50/75]  loss: 0.5', flush=True); time.sleep(1)"
    )
    toy.write(stage)
    _, lines = toy.run()
    assert '  [a] epoch 2, 50/75, loss 0.5 (0:00 min)' in lines


def test_only_some_stages(toy):
    toy.write(toy.stage('a'), toy.stage('b', needs=['a']))
    with pytest.raises(UserError, match='needs a, which is not finished'):
        toy.run(only=('b',))
    toy.run(only=('a',))
    assert toy.logged == ['a starts', 'a ends']
    toy.run(only=('b',))
    assert toy.logged[2:] == ['b starts', 'b ends']
    with pytest.raises(UserError, match='no stage "x"'):
        toy.run(only=('x',))


def test_other_settings_are_no_finished_stage(toy):
    toy.write(toy.stage('a'), toy.stage('b', needs=['a']))
    toy.run()
    with pytest.raises(UserError, match=r'stage a .* was finished with other settings'):
        toy.run(seed=1)
    toy.write(toy.stage('a', seconds=0.1), toy.stage('b', needs=['a']))
    with pytest.raises(UserError, match='--redo a'):
        toy.run()
    with pytest.raises(UserError, match='no stage "x"'):
        toy.run(redo=('a', 'x'))
    _, lines = toy.run(redo=('a',))
    assert lines[0] == 'to be done again: a, b'
    assert toy.logged.count('b ends') == 2
    toy.run(redo=('b',))
    assert toy.logged.count('a ends') == 2 and (toy.work_dir / 'b.old2').exists()
    assert (toy.work_dir / 'a.old1' / 'stage.json').exists()


def test_an_interrupted_stage_does_not_go_on_with_other_settings(toy):
    toy.write(toy.stage('a', status=1))
    toy.run()
    toy.run(seed=1)  # without a checkpoint there is nothing to go on from
    (toy.work_dir / 'a' / 'epoch_1.pth').write_text('')
    with pytest.raises(UserError, match='begun with other settings'):
        toy.run(seed=2)
    toy.write(toy.stage('a'))
    failed, _ = toy.run(seed=2, redo=('a',))
    assert not failed


def test_the_configs_of_a_command_count_as_settings(toy):
    config = toy.folder / 'probe.py'
    config.write_text('k = 20')
    stage = toy.stage('a', env=dict(A='1'))
    stage['command'].append(str(config))
    toy.write(stage)
    toy.run()
    config.write_text('k = 10')
    with pytest.raises(UserError, match='other settings'):
        toy.run()
    config.write_text('k = 20')
    toy.run()
    stage['env'] = dict(A='2')
    toy.write(stage)
    with pytest.raises(UserError, match='other settings'):
        toy.run()


def test_a_folder_that_cannot_be_written(toy):
    toy.write(toy.stage('a'))
    (toy.work_dir / '.lock').mkdir(parents=True)
    with pytest.raises(UserError, match=r'cannot be the folder of a chain: .*name another --work-dir'):
        toy.run()


def test_one_chain_at_a_time(toy):
    toy.write(toy.stage('a'))
    toy.work_dir.mkdir()
    with (toy.work_dir / '.lock').open('w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match='another process runs the chain'):
            toy.run()


def test_a_killed_chain_takes_its_stage_along(toy):
    toy.write(toy.stage('a'), toy.stage('b', seconds=60, needs=['a']), toy.stage('c', needs=['b']))
    command = [toy.python, 'tools/chain.py', str(toy.config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while 'b starts' not in toy.logged and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    while running(str(toy.folder / 'step.py')) and time.monotonic() < deadline + 20:
        time.sleep(0.05)
    assert not running(str(toy.folder / 'step.py'))
    assert not (toy.work_dir / 'b' / 'stage.json').exists()
    toy.write(toy.stage('a'), toy.stage('b', needs=['a']), toy.stage('c', needs=['b']))
    failed, _ = toy.run()
    assert not failed
    assert toy.logged.count('a starts') == 1 and toy.logged.count('b ends') == 1
    assert json.loads((toy.work_dir / 'b' / 'seconds.json').read_text()) > 0


def test_processes_of_a_chain_are_those_with_its_folder(toy):
    folders = [toy.work_dir, toy.folder, toy.folder / 'other']
    processes = [subprocess.Popen(['sleep', '60'], env={**os.environ, **chain_variable(folder)}) for folder in folders]
    plain = subprocess.Popen(['sleep', '60'])
    try:
        for folder, process in zip(folders, processes, strict=True):
            while not find_processes(folder):  # until it is no longer a copy of this process
                time.sleep(0.01)
            assert [found.pid for found in find_processes(folder)] == [process.pid]
            assert [found.pid for found in find_processes(folder.parent / 'x' / '..' / folder.name)] == [process.pid]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(*next(iter(chain_variable(toy.folder / 'mine').items())))
            assert find_processes(toy.folder / 'mine') == []
    finally:
        for process in (*processes, plain):
            process.kill()
            process.wait()


def test_what_a_killed_chain_left_behind_is_ended(toy):
    # As a data-loading worker: it does not end with the one that started it.
    command = ['bash', '-c', 'trap "" TERM; sleep 60 & wait; sleep 60']
    left = subprocess.Popen(command, env={**os.environ, **chain_variable(toy.work_dir)})
    other = subprocess.Popen(['sleep', '60'], env={**os.environ, **chain_variable(toy.folder)})
    toy.write(toy.stage('a'))
    while len(find_processes(toy.work_dir)) < 2:
        time.sleep(0.05)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmimg2vec.chain.runner.end_orphans', partial(end_orphans, timeout=1))
        _, lines = toy.run()
    assert left.wait() == -signal.SIGKILL
    assert '2 processes of an earlier start' in lines[0]
    assert other.poll() is None
    other.kill()
    other.wait()


def running(text):
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as file:
                words = file.read().split(b'\0')
        except OSError:
            continue
        if text.encode() in words:
            found.append(pid)
    return found
