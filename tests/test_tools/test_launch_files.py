"""The files for Slurm, Kubeflow and SkyPilot: they parse, and what they start is a run that ``--check`` accepts."""

import os
import re
import subprocess
import sys

import pytest
import toy
import yaml
from check_configs import ROOT
from tiny_run import PIXELS, STUDENT

LAUNCH = ROOT / 'tools' / 'launch'
# Stands for torchrun, `python -m torch.distributed.run` and srun: notes its words and starts one process.
STARTER = """#!/bin/sh
echo "$@" > {words}
case "$1" in -c) exec {python} "$@" ;; esac
while [ $# -gt 0 ]; do case "$1" in *tools/train.py) break ;; *) shift ;; esac; done
export RANK=0 WORLD_SIZE=1 LOCAL_RANK=0 SLURM_PROCID=0 SLURM_NTASKS=1 SLURM_LOCALID=0
export MASTER_ADDR=127.0.0.1 MASTER_PORT={port}
exec {python} "$@"
"""


@pytest.fixture
def machine(tmp_path):
    """A cluster's programs that do nothing but start the script, and a tiny run."""
    (tmp_path / 'bin').mkdir()
    port = subprocess.run(['bash', '-c', f'PYTHON={sys.executable}; . {ROOT}/tools/launch_common.sh; free_port'],
                          capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    words = tmp_path / 'words'
    for name in ('torchrun', 'srun', 'starter'):
        program = tmp_path / 'bin' / name
        program.write_text(STARTER.format(words=words, python=sys.executable, port=port))
        program.chmod(0o755)
    queue = tmp_path / 'bin' / 'scontrol'
    queue.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/queued\n')
    queue.chmod(0o755)
    toy.write_images(tmp_path / 'images')
    return tmp_path


def start(machine, *command, **variables):
    path = f'{machine}/bin{os.pathsep}{os.environ["PATH"]}'
    given = {'PATH': path, 'PYTHON': f'{machine}/bin/starter', 'CUDA_VISIBLE_DEVICES': '', 'PYTHONPATH': str(ROOT)}
    variables = {**os.environ, **given, 'IMG2VEC_IMAGES': str(machine / 'images'), **variables}
    return subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def config(machine):
    (machine / 'tiny.py').write_text(STUDENT + PIXELS)
    return str(machine / 'tiny.py')


def assert_checked(result, machine, work_dir):
    assert result.returncode == 0, result.stdout + result.stderr
    assert f'{machine}/tiny.py: ready' in result.stdout
    assert not work_dir.exists()  # a check leaves nothing
    return (machine / 'words').read_text().split()


def test_slurm(machine, config):
    text = (LAUNCH / 'slurm.sbatch').read_text(encoding='utf-8')
    options = dict(re.findall(r'^#SBATCH --([\w-]+)(?:=(\S+))?$', text, re.MULTILINE))
    assert options['signal'] == 'USR1@120' and 'requeue' in options and options['open-mode'] == 'append'
    assert options['ntasks-per-node'] == options['gpus-per-node']
    command = ('bash', str(LAUNCH / 'slurm.sbatch'), config, str(machine / 'run'), '--check')
    words = assert_checked(start(machine, *command, SLURM_JOB_ID='17'), machine, machine / 'run')
    assert words[0] == '--kill-on-bad-exit=1' and '--resume' in words and '--launcher slurm' in ' '.join(words)
    assert not (machine / 'queued').exists()
    # A run that was asked to stop wants to go on.
    (machine / 'bin' / 'srun').write_text('#!/bin/sh\nexit 75\n')
    assert start(machine, *command, SLURM_JOB_ID='17').returncode == 75
    assert (machine / 'queued').read_text() == 'requeue 17\n'
    assert start(machine, 'bash', str(LAUNCH / 'slurm.sbatch'), config).returncode == 2


def test_kubeflow(machine, config):
    job = yaml.safe_load((LAUNCH / 'kubeflow.yaml').read_text(encoding='utf-8'))
    assert (job['apiVersion'], job['kind']) == ('kubeflow.org/v1', 'PyTorchJob')
    spec, worker = job['spec'], job['spec']['pytorchReplicaSpecs']['Worker']
    elastic = spec['elasticPolicy']
    # As many machines as before: another batch is refused at resume.
    assert elastic['minReplicas'] == elastic['maxReplicas'] == worker['replicas']
    (container,) = worker['template']['spec']['containers']
    assert int(spec['nprocPerNode']) == container['resources']['limits']['nvidia.com/gpu']
    mounted = {mount['name'] for mount in container['volumeMounts']}
    assert mounted == {volume['name'] for volume in worker['template']['spec']['volumes']}
    words = container['command']
    shipped = next(word for word in words if word.startswith('configs/'))
    assert (ROOT / shipped).is_file()
    changed = {shipped: config, '/out/img2vec': str(machine / 'run')}
    result = start(machine, *(changed.get(word, word) for word in words), '--check')
    assert '--resume' in assert_checked(result, machine, machine / 'run')


def test_skypilot(machine, config):
    task = yaml.safe_load((LAUNCH / 'skypilot.yaml').read_text(encoding='utf-8'))
    assert task['resources']['use_spot'] and set(task['file_mounts']) == {'/images', '/out'}
    assert (ROOT / task['envs']['CONFIG']).is_file()
    script = task['run'].replace('/out/img2vec', str(machine / 'run')).replace('--resume', '--resume --check')
    variables = dict.fromkeys(('SKYPILOT_NUM_NODES', 'SKYPILOT_NUM_GPUS_PER_NODE'), '2')
    variables |= dict(SKYPILOT_NODE_RANK='0', SKYPILOT_NODE_IPS='10.0.0.1\n10.0.0.2', CONFIG=config)
    words = assert_checked(start(machine, 'bash', '-ec', script, **variables), machine, machine / 'run')
    assert '--rdzv-endpoint=10.0.0.1:29500' in words and '--nproc-per-node=2' in words
    assert '--max-restarts=3' in words
