import datetime
import os

import pytest
from mmengine.config import Config

from mmimg2vec.engine import launch
from mmimg2vec.errors import UserError


def test_a_single_process_changes_nothing_but_the_launcher():
    cfg = Config({'model': {'type': 'X'}})
    launch.prepare_launch(cfg, 'none')
    assert cfg.to_dict() == {'model': {'type': 'X'}, 'launcher': 'none'}


def test_the_wrapper_for_cpus_keeps_what_the_config_says():
    wrapper = launch.cpu_wrapper(Config({'find_unused_parameters': True}))
    assert wrapper == {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': True,
        'device_ids': None,
    }
    cfg = Config({'model_wrapper_cfg': {'static_graph': True, 'broadcast_buffers': True}})
    wrapper = launch.cpu_wrapper(cfg)
    assert wrapper['static_graph']
    assert wrapper['broadcast_buffers']


def test_launchers_name_their_ranks_differently():
    mpi = {
        'OMPI_COMM_WORLD_RANK': '3',
        'OMPI_COMM_WORLD_SIZE': '4',
        'OMPI_COMM_WORLD_LOCAL_RANK': '1',
        'MASTER_ADDR': 'first',
    }
    assert launch.rank_variables('mpi', mpi) == {
        'RANK': '3',
        'WORLD_SIZE': '4',
        'LOCAL_RANK': '1',
        'MASTER_ADDR': 'first',
        'MASTER_PORT': '29500',
    }
    with pytest.raises(UserError, match=r'RANK is not set: start it with torchrun'):
        launch.rank_variables('pytorch', {})
    with pytest.raises(UserError, match='SLURM_PROCID is not set: start it with srun'):
        launch.rank_variables('slurm', {})


def test_every_launcher_has_its_variables():
    given = {'RANK': '1', 'WORLD_SIZE': '2', 'LOCAL_RANK': '0', 'MASTER_ADDR': 'a', 'MASTER_PORT': '7'}
    assert launch.rank_variables('pytorch', given) == given
    slurm = {'SLURM_PROCID': '5', 'SLURM_NTASKS': '8', 'SLURM_LOCALID': '1', 'MASTER_ADDR': 'node'}
    assert launch.rank_variables('slurm', slurm) == {
        'RANK': '5',
        'WORLD_SIZE': '8',
        'LOCAL_RANK': '1',
        'MASTER_ADDR': 'node',
        'MASTER_PORT': '29500',
    }
    del given['MASTER_ADDR']
    assert launch.rank_variables('pytorch', given)['MASTER_ADDR'] == '127.0.0.1'


def test_the_first_slurm_node_is_the_master(tmp_path, monkeypatch):
    slurm = {'SLURM_PROCID': '0', 'SLURM_NTASKS': '2', 'SLURM_LOCALID': '0', 'SLURM_NODELIST': 'n[3-4]'}
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(UserError, match=r'the first Slurm node cannot be found .*: set MASTER_ADDR'):
        launch.rank_variables('slurm', slurm)
    command = tmp_path / 'scontrol'
    for script in ('[ "$*" = "show hostname n[3-4]" ] && printf "n3\\nn4\\n"', 'exit 1', 'true'):
        command.write_text(f'#!/bin/sh\n{script}\n')
        command.chmod(0o755)
        if 'printf' in script:
            assert launch.rank_variables('slurm', slurm)['MASTER_ADDR'] == 'n3'
            continue
        with pytest.raises(UserError, match='set MASTER_ADDR'):
            launch.rank_variables('slurm', slurm)


@pytest.mark.parametrize(('seconds', 'initialized'), [(None, False), (60, False), (None, True)])
def test_processes_without_a_gpu_meet_over_gloo(monkeypatch, seconds, initialized):
    started = []
    for name, value in (('RANK', '0'), ('WORLD_SIZE', '1'), ('LOCAL_RANK', '0')):
        monkeypatch.setenv(name, value)
    for name in ('MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(launch, 'has_gpu', lambda: False)
    monkeypatch.setattr(launch.distributed, 'is_initialized', lambda: initialized)
    monkeypatch.setattr(
        launch.distributed, 'init_process_group', lambda *args, **kwargs: started.append((args, kwargs))
    )
    cfg = Config({} if seconds is None else {'env_cfg': {'dist_cfg': {'timeout': seconds}}})
    launch.prepare_launch(cfg, 'pytorch')
    timeout = datetime.timedelta(seconds=seconds or 1800)
    assert started == ([] if initialized else [(('gloo',), {'timeout': timeout})])
    assert (cfg.launcher, cfg.model_wrapper_cfg.device_ids) == ('pytorch', None)
    assert (os.environ['MASTER_ADDR'], os.environ['MASTER_PORT']) == ('127.0.0.1', '29500')
    cfg = Config({'runner_type': 'FlexibleRunner'})
    launch.prepare_launch(cfg, 'pytorch')
    assert 'model_wrapper_cfg' not in cfg


def test_processes_with_gpus_are_left_to_mmengine(monkeypatch):
    for name, value in (('RANK', '1'), ('WORLD_SIZE', '2'), ('LOCAL_RANK', '1'), ('MASTER_ADDR', 'a')):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv('MASTER_PORT', '1')
    monkeypatch.setattr(launch, 'has_gpu', lambda: True)
    monkeypatch.setattr(launch.torch.cuda, 'device_count', lambda: 2)
    cfg = Config({'strategy': {'type': 'FSDPStrategy'}})
    launch.prepare_launch(cfg, 'pytorch')
    assert cfg.to_dict() == {'strategy': {'type': 'FSDPStrategy'}, 'launcher': 'pytorch'}
    monkeypatch.setattr(launch.torch.cuda, 'device_count', lambda: 1)
    with pytest.raises(UserError, match='process 2 of this machine has no GPU: torch finds 1'):
        launch.prepare_launch(cfg, 'pytorch')


def test_more_processes_than_gpus():
    launch.check_gpu_count(1, 2)
    with pytest.raises(UserError, match='process 3 of this machine has no GPU: torch finds 2'):
        launch.check_gpu_count(2, 2)


def test_fsdp_without_a_gpu(monkeypatch):
    monkeypatch.setattr(launch, 'has_gpu', lambda: False)
    with pytest.raises(UserError, match='FSDPStrategy in None needs a GPU'):
        launch.prepare_launch(Config({'strategy': {'type': 'FSDPStrategy'}}), 'none')
