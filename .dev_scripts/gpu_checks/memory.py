"""What a ViT-H takes: with activation checkpointing under plain DDP, and under FSDP, on one device."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from benchmarking.entries import Entry, Setting, read
from benchmarking.measure import draw_images
from benchmarking.stepping import SteppedLoop, with_loops
from mmengine.dist import init_dist
from mmengine.runner import FlexibleRunner
from torch import distributed

from gpu_checks.families import TINY_IMG2VEC
from mmimg2vec.engine.launch import prepare_launch
from mmimg2vec.teacher_selection.cost import PeakMemory
from mmimg2vec.utils.distributed import unwrapped

_FSDP = 'configs/img2vec/img2vec_vit-huge-p14_8xb256-amp-fsdp-coslr-800e_in1k.py'
_TINY = {**TINY_IMG2VEC, 'model.fusion.blocks': (0, 11)}
_STEPS = 3


def check_ddp(device: torch.device, small: bool = False) -> dict[str, Any]:
    """Steps of the ViT-H under DistributedDataParallel with one process, every block computed twice.

    Args:
        device: Where.
        small: A small network and batch, for a trial on the CPU.

    Returns:
        ``peak_gib``, ``parameters`` (trained ones, in millions), ``step_s`` and ``summary``.
    """
    blocks = 12 if small else 32
    checkpointed = {'activation_checkpointing': [f'backbone.layers.{index}' for index in range(blocks)]}
    entry = Entry('ViT-H', 'img2vec-huge', {**checkpointed, **(_TINY if small else {})})
    found: dict[str, Any] = {}

    def use(loops: list[SteppedLoop]) -> None:
        found['step_s'] = min(sum(loops[0].step().values()) for _ in range(_STEPS))
        model = unwrapped(loops[0].runner.model)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        found['parameters'] = sum(parameter.numel() for parameter in trained) / 1e6
        found['peak_gib'] = (memory.mib() or 0) / 1024

    views = 2 if small else 256
    with tempfile.TemporaryDirectory() as folder, _one_process():
        memory = PeakMemory(device)
        setting = Setting(views, 'bfloat16', draw_images(Path(folder), views))
        with_loops([entry], setting, Path(folder), use, prepare=lambda cfg: prepare_launch(cfg, 'pytorch'))
    found['summary'] = f'DDP, {views} images: {found["peak_gib"]:.1f} GiB, {found["step_s"]:.2f} s a step'
    return found


def check_fsdp(device: torch.device, small: bool = False) -> dict[str, Any]:
    """Steps of the same network by its FSDP config with one process, blocks computed once.

    Args:
        device: Where; FSDP needs an accelerator.
        small: A small network and batch.

    Returns:
        ``peak_gib`` and ``summary``; on the CPU the summary alone.
    """
    if device.type == 'cpu':
        return dict(skipped=True, summary='torch has no FSDP on the CPU')
    views = 2 if small else 256
    entry = Entry('ViT-H', _FSDP, _TINY if small else {})
    with tempfile.TemporaryDirectory() as folder, _one_process():
        memory = PeakMemory(device)
        setting = Setting(views, 'bfloat16', draw_images(Path(folder), views * _STEPS))
        cfg = read(entry, setting, Path(folder) / 'run')
        prepare_launch(cfg, 'pytorch')
        cfg.merge_from_dict({'train_cfg.max_epochs': 1, 'param_scheduler': []})
        cfg.custom_hooks = [hook for hook in cfg.custom_hooks if 'Export' not in hook.type]
        cfg.default_hooks.checkpoint = None
        init_dist('pytorch')
        FlexibleRunner.from_cfg(cfg).train()
        peak = (memory.mib() or 0) / 1024
    return dict(peak_gib=peak, summary=f'FSDP of one process, {views} images: {peak:.1f} GiB')


@contextmanager
def _one_process() -> Iterator[None]:
    """The variables that torchrun would set for a single process, and its process group, ended at the end."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        port = listener.getsockname()[1]
    os.environ.update(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    try:
        yield
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
