"""The launch scripts with a stand-in for the program that they start: what would have been run?"""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / 'tools').glob('*.sh'))


def run(script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(ROOT / 'tools' / script), *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def echo(tmp_path):
    """Write programs that print their arguments and the threads they may use."""
    for name in ('python', 'srun'):
        path = tmp_path / name
        path.write_text('#!/bin/sh\necho "threads=$OMP_NUM_THREADS" "$@"\n')
        path.chmod(0o755)
    return {
        'PYTHON': str(tmp_path / 'python'),
        'PATH': f'{tmp_path}{os.pathsep}{os.environ["PATH"]}',
        'CUDA_VISIBLE_DEVICES': '',
    }


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_syntax(script):
    subprocess.run(['bash', '-n', str(script)], check=True)


def test_one_machine(echo):
    result = run('dist_train.sh', 'c.py', '2', '--resume', 'a b', PORT='1234', **echo)
    words = result.stdout.split()
    assert result.returncode == 0, result.stderr
    assert words[1:3] == ['-m', 'torch.distributed.run']
    for word in ('--nnodes=1', '--nproc-per-node=2', '--master-addr=127.0.0.1'):
        assert word in words
    assert '--master-port=1234' in words
    assert result.stdout.strip().endswith('tools/train.py c.py --resume a b --launcher pytorch')


def test_threads_are_shared_out_on_cpus(echo):
    echo['PORT'] = '1'
    cores = len(os.sched_getaffinity(0))
    assert f'threads={max(1, cores // 2)} ' in run('dist_train.sh', 'c.py', '2', **echo).stdout
    kept = run('dist_train.sh', 'c.py', '2', OMP_NUM_THREADS='7', **echo).stdout
    assert 'threads=7 ' in kept


def test_several_machines_need_an_address_and_a_rank(echo):
    result = run('dist_train.sh', 'c.py', '8', NNODES='2', **echo)
    assert result.returncode != 0
    assert 'MASTER_ADDR must name the first machine' in result.stderr
    several = dict(NNODES='2', MASTER_ADDR='first', **echo)
    words = run('dist_train.sh', 'c.py', '8', NODE_RANK='1', **several).stdout.split()
    for word in ('--nnodes=2', '--rdzv-backend=c10d', '--rdzv-endpoint=first:29500', '--rdzv-conf=is_host=0'):
        assert word in words
    assert '--max-restarts=0' in words  # what was started again would find a run in its folder
    words = run('dist_train.sh', 'c.py', '8', '--resume', NODE_RANK='0', **several).stdout.split()
    assert '--max-restarts=3' in words and '--rdzv-conf=is_host=1' in words
    words = run('dist_train.sh', 'c.py', '8', '--resume', NODE_RANK='0', MAX_RESTARTS='0', **several).stdout.split()
    assert '--max-restarts=0' in words


def test_dist_test_passes_the_checkpoint_on(echo):
    result = run('dist_test.sh', 'c.py', 'x.pth', '1', PORT='1', **echo)
    assert result.stdout.strip().endswith('tools/test.py c.py x.pth --launcher pytorch')


def test_slurm(echo):
    result = run('slurm_train.sh', 'gpu', 'job', 'c.py', 'out', GPUS='4', **echo)
    words = result.stdout.split()
    for word in ('--partition=gpu', '--ntasks=4', '--gres=gpu:4', '--ntasks-per-node=4'):
        assert word in words
    assert result.stdout.strip().endswith('train.py c.py --work-dir out --launcher slurm')


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh'])
def test_without_arguments_the_usage_is_shown(script):
    result = run(script)
    assert result.returncode == 2
    assert f'tools/{script} ' in result.stderr
