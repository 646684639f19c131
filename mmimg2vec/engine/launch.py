"""Start processes that train or test together, on machines without a GPU too.

mmengine's own start calls ``torch.cuda.set_device`` whatever the backend is, and wraps the model for one GPU. Both
fail on a machine without one. It leaves a process group alone that exists already, though, and takes the wrapper from
the config; :func:`prepare_launch` uses both. On a machine with GPUs nothing is changed.
"""

from __future__ import annotations

import datetime
import os
import subprocess
from collections.abc import Mapping, MutableMapping

import torch
from mmengine.config import Config
from torch import distributed

from mmimg2vec.errors import UserError

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')


def prepare_launch(cfg: Config, launcher: str) -> None:
    """Set the launcher in a config, and make several processes work on CPUs alone.

    Args:
        cfg: The run's config; ``launcher`` and, without a GPU, ``model_wrapper_cfg`` are set in place.
        launcher: One of ``LAUNCHERS``; what started this process.

    Raises:
        UserError: The config needs GPUs and there is none, there are more processes than GPUs on this machine, or
            the launcher's variables are missing.
    """
    cfg.launcher = launcher
    if 'strategy' in cfg and 'FSDP' in str(cfg.strategy.get('type')) and not has_gpu():
        raise UserError(
            f'{cfg.strategy.type} in {cfg.filename} needs a GPU, and torch finds none: '
            'take a config without FSDP, or run on a machine with GPUs'
        )
    if launcher == 'none':
        return
    variables = rank_variables(launcher, os.environ)
    os.environ.update(variables)
    if has_gpu():
        check_gpu_count(int(variables['LOCAL_RANK']), torch.cuda.device_count())
        return
    if not distributed.is_initialized():
        timeout = cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout', 1800)
        distributed.init_process_group('gloo', timeout=datetime.timedelta(seconds=timeout))
    if 'runner_type' not in cfg:
        cfg.model_wrapper_cfg = cpu_wrapper(cfg)


def has_gpu() -> bool:
    """Whether torch can use a GPU in this process."""
    return torch.cuda.is_available()


def cpu_wrapper(cfg: Config) -> dict:
    """Return the ``model_wrapper_cfg`` for processes on CPUs.

    Without ``device_ids=None`` mmengine passes the local rank as a GPU's number. The other values are those that
    mmengine takes where a config has no wrapper of its own; what the config does set stays.
    """
    wrapper = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
    }
    wrapper.update(cfg.get('model_wrapper_cfg') or {})
    wrapper['device_ids'] = None
    return wrapper


def check_gpu_count(local_rank: int, gpus: int) -> None:
    """Check that this process has a GPU of its own.

    Raises:
        UserError: It has none.
    """
    if local_rank >= gpus:
        raise UserError(
            f'process {local_rank + 1} of this machine has no GPU: torch finds {gpus}; '
            'start as many processes as there are GPUs (see CUDA_VISIBLE_DEVICES)'
        )


def rank_variables(launcher: str, environment: Mapping[str, str]) -> MutableMapping[str, str]:
    """Translate a launcher's variables into those that ``torch.distributed`` reads.

    Args:
        launcher: ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        environment: The process's environment.

    Returns:
        ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT``.

    Raises:
        UserError: A variable is missing, so the process was not started by that launcher.
    """
    prefixes = {
        'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
        'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
        'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
    }
    names = prefixes[launcher]
    missing = [name for name in names if name not in environment]
    if missing:
        starter = {'pytorch': 'torchrun (tools/dist_train.sh)', 'slurm': 'srun', 'mpi': 'mpirun'}
        raise UserError(
            f'--launcher {launcher} but {missing[0]} is not set: start it with {starter[launcher]}, '
            'or leave --launcher out for a single process'
        )
    address = environment.get('MASTER_ADDR') or (_first_slurm_host(environment) if launcher == 'slurm' else '127.0.0.1')
    return {
        'RANK': environment[names[0]],
        'WORLD_SIZE': environment[names[1]],
        'LOCAL_RANK': environment[names[2]],
        'MASTER_ADDR': address,
        'MASTER_PORT': environment.get('MASTER_PORT', '29500'),
    }


def _first_slurm_host(environment: Mapping[str, str]) -> str:
    command = ['scontrol', 'show', 'hostname', environment.get('SLURM_NODELIST', '')]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return listed.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise UserError(f'the first Slurm node cannot be found ({error}): set MASTER_ADDR') from error
