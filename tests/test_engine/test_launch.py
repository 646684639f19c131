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


def test_more_processes_than_gpus():
    launch.check_gpu_count(1, 2)
    with pytest.raises(UserError, match='process 3 of this machine has no GPU: torch finds 2'):
        launch.check_gpu_count(2, 2)


def test_fsdp_without_a_gpu(monkeypatch):
    monkeypatch.setattr(launch, 'has_gpu', lambda: False)
    with pytest.raises(UserError, match='FSDPStrategy in None needs a GPU'):
        launch.prepare_launch(Config({'strategy': {'type': 'FSDPStrategy'}}), 'none')
