"""One bfloat16 training step of each family of configs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from benchmarking.entries import Entry, Setting
from benchmarking.measure import draw_images
from benchmarking.stepping import SteppedLoop, with_loops
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmimg2vec.utils.config import load_config

# Options that make a small network of a config, for a trial on the CPU.
TINY = {'model.backbone.arch': 'deit-tiny'}
TINY_IMG2VEC = {**TINY, 'model.target_generator.teacher.depth': 18}
# Family, which is a short name of the benchmark's -> config of a small trial, and what that changes.
PRETRAINING = {
    'img2vec': ('img2vec', TINY_IMG2VEC),
    'cae_v2': ('configs/cae_v2/cae-v2_vit-tiny-h12-p16_8xb256-amp-coslr-300e_in1k.py', {}),
    'mff': ('mff', {**TINY, 'model.neck.embed_dims': 32, 'model.neck.num_heads': 2}),
}
_BENCHMARKS = 'configs/benchmarks'
DOWNSTREAM = {
    'classification': f'{_BENCHMARKS}/classification/vit-{{size}}-p16_8xb128-coslr-100e_in1k.py',
    'detection': f'{_BENCHMARKS}/detection/mask-rcnn_vitdet-{{size}}-p16-sfp_8xb2-ms-1x_coco.py',
    'segmentation': f'{_BENCHMARKS}/segmentation/upernet_vit-{{size}}-p16_8xb2-amp-160k_ade20k-512x512.py',
}


def check_families(device: torch.device, small: bool = False) -> dict[str, Any]:
    """Make one step of each family and look at losses and weights.

    Args:
        device: Where.
        small: Small networks and images, for a trial on the CPU.

    Returns:
        ``losses`` (per family), ``failed`` (name -> what went wrong) and ``summary``.
    """
    losses: dict[str, float] = {}
    failed: dict[str, str] = {}
    steps: dict[str, Callable[[], float]] = {name: _pretraining(name, small) for name in PRETRAINING}
    steps |= {name: _downstream(name, device, small) for name in DOWNSTREAM}
    for name, step in steps.items():
        try:
            losses[name] = step()
        except Exception as error:  # the other families are tried
            failed[name] = f'{type(error).__name__}: {error}'.splitlines()[0]
    summary = ', '.join(f'{name} {loss:.2f}' for name, loss in losses.items())
    return dict(losses=losses, failed=failed, summary=f'losses: {summary}')


def check_weights(model: nn.Module, before: dict[str, torch.Tensor]) -> None:
    """Check that a step has changed weights, and left all of them finite.

    Args:
        model: After the step.
        before: Its parameters before.

    Raises:
        ArithmeticError: It has not.
    """
    after = dict(model.named_parameters())
    broken = [name for name, value in after.items() if not value.isfinite().all()]
    if broken:
        raise ArithmeticError(f'{len(broken)} weights are not finite, {broken[0]} among them')
    if all(torch.equal(value, before[name]) for name, value in after.items()):
        raise ArithmeticError('the step changed no weight')


def _copies(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def _pretraining(name: str, small: bool) -> Callable[[], float]:
    config, tiny = PRETRAINING[name]
    options = {'default_hooks.logger.interval': 1, **(tiny if small else {})}  # numbers are read in logged steps
    entry = Entry(name, config if small else name, options)

    def step() -> float:
        found: list[float] = []

        def use(loops: list[SteppedLoop]) -> None:
            model = loops[0].runner.model
            for _ in range(2):  # a warm-up starts at a learning rate of almost nothing
                before = _copies(model)
                loops[0].step()
            check_weights(model, before)
            found.append(float(loops[0].runner.message_hub.get_scalar('train/loss').current()))

        with tempfile.TemporaryDirectory() as folder:
            views = 4 if small else 32
            setting = Setting(views, 'bfloat16', draw_images(Path(folder), views))
            with_loops([entry], setting, Path(folder), use)
        return found[0]

    return step


def _downstream(name: str, device: torch.device, small: bool) -> Callable[[], float]:
    def step() -> float:
        from mmdet.utils import register_all_modules as register_mmdet
        from mmseg.utils import register_all_modules as register_mmseg

        for register in (register_mmdet, register_mmseg):
            register(init_default_scope=False)
        size = 'base' if not small else 'small' if name == 'classification' else 'tiny'  # the smallest that is there
        cfg = load_config(DOWNSTREAM[name].format(size=size))
        init_default_scope(cfg.default_scope)
        cfg.model.backbone.pop('init_cfg', None)
        side = {'classification': 224, 'detection': 256 if small else 1024, 'segmentation': 512}[name]
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
        model.init_weights()
        model.to(device).train()
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        before = _copies(model)
        logged = model.train_step(BATCHES[name](side), wrapper)
        check_weights(model, before)
        return float(logged['loss'])

    return step


def _classification(side: int) -> dict[str, Any]:
    from mmpretrain.structures import DataSample

    images = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)
    return dict(inputs=images, data_samples=[DataSample().set_gt_label(label) for label in (1, 2)])


def _detection(side: int) -> dict[str, Any]:
    from mmdet.testing import demo_mm_inputs

    return demo_mm_inputs(2, (3, side, side), num_items=[3, 3], num_classes=80, with_mask=True)


def _segmentation(side: int) -> dict[str, Any]:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    samples = []
    for _ in range(2):
        sample = SegDataSample(metainfo=dict(img_shape=(side, side), ori_shape=(side, side)))
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 150, (1, side, side)))
        samples.append(sample)
    return dict(
        inputs=[torch.randint(0, 256, (3, side, side), dtype=torch.uint8) for _ in samples], data_samples=samples
    )


BATCHES: dict[str, Callable[[int], dict[str, Any]]] = {
    'classification': _classification,
    'detection': _detection,
    'segmentation': _segmentation,
}
