"""A fine-tuning run starts from the whole pre-trained backbone, or not at all."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner, find_latest_checkpoint
from mmengine.runner.base_loop import BaseLoop
from torch import nn

from mmimg2vec.checkpoint.coverage import Coverage, measure_coverage, pretrained_cfg
from mmimg2vec.checkpoint.fill import left_out_scales
from mmimg2vec.engine.hooks.backbone_export import backbone_state
from mmimg2vec.errors import UserError
from mmimg2vec.registry import HOOKS
from mmimg2vec.utils.distributed import on_main_process, unwrapped


@HOOKS.register_module()
class InitCoverageHook(Hook):
    """Reports what the ``init_cfg`` of the backbone fills; less than the whole backbone ends the run before it starts.

    Before the model is initialized it compares the file with the module: names, shapes, depth. Before the first step
    it compares the values: a list in ``init_cfg``, or an ``init_weights`` that runs later, may have drawn some of them
    anew. Names that pre-training cannot have (the module's attribute ``new_parameters``, such as the relative
    position tables of ``mmimg2vec.ViTDet``, and ``allow_missing``) may be missing and are named. A run that goes on
    from its own checkpoint, or starts from ``load_from``, is not checked, nor one whose parameters FSDP has sharded.

    Works in mmpretrain, mmdet and mmseg, the module being that of ``model.init_cfg`` or, where that has none, of the
    model's own ``init_cfg`` (mmpretrain's ``pretrained=``). Checks are the project's choice.

    Args:
        module: Name of the module in the model.
        allow_missing: Regular expressions, searched in the module's names, of what may stay random. The default is
            the norm after mean pooling, which mmpretrain's vision transformer has under a name of its own.
    """

    priority = 'VERY_HIGH'

    def __init__(
        self,
        module: str = 'backbone',
        allow_missing: Sequence[str] = (r'^ln2\.(weight|bias)$',),
    ) -> None:
        self.module = module
        self.allow_missing = tuple(allow_missing)
        self.coverage: Coverage | None = None

    def before_run(self, runner: Runner) -> None:
        """Compare names and shapes, after the datasets are built and before the model is initialized.

        Raises:
            UserError: The checkpoint is missing, unreadable or does not fill the module.
        """
        self.coverage = None
        if not isinstance(runner._train_loop, BaseLoop) or runner.iter > 0:
            return  # a test, or a second call
        start = runner._load_from
        if start is None and runner._resume:
            start = find_latest_checkpoint(runner.work_dir)
        if start is not None:
            runner.logger.info(f'{self.module}: weights come from {start}, init_cfg is not used')
        elif any('_fsdp_wrapped_module' in name for name, _ in runner.model.named_parameters()):
            runner.logger.info(f'{self.module}: sharded by FSDP, its init_cfg is not checked')
        else:
            on_main_process(lambda: self._compare_names(runner))

    def before_train(self, runner: Runner) -> None:
        """Compare values, after initialization.

        Raises:
            UserError: Something has changed them after loading.
        """
        if not runner._has_loaded:
            on_main_process(lambda: self._compare_values(runner))
        self.coverage = None  # as large as the module

    def _compare_names(self, runner: Runner) -> None:
        model = unwrapped(runner.model)
        try:
            module = model.get_submodule(self.module)
        except AttributeError as error:
            raise UserError(
                f'the model has no {self.module}: set module= of InitCoverageHook to one of '
                f'{", ".join(name for name, _ in model.named_children())}'
            ) from error
        init_cfg = pretrained_cfg(getattr(module, 'init_cfg', None))
        inside = ''
        if init_cfg is None:
            init_cfg, inside = pretrained_cfg(getattr(model, 'init_cfg', None)), f'{self.module}.'
        if init_cfg is None:
            runner.logger.info(f'{self.module}: random weights (no init_cfg)')
            return
        coverage = measure_coverage(module, init_cfg['checkpoint'], init_cfg.get('prefix'), inside)
        patterns = (*getattr(module, 'new_parameters', ()), *self.allow_missing)
        new = [n for n in coverage.missing if any(re.search(p, n) for p in patterns)]
        check_coverage(coverage, new, self.module)
        runner.logger.info(describe(coverage, new, self.module))
        self.coverage = coverage

    def _compare_values(self, runner: Runner) -> None:
        if self.coverage is None:
            return
        prefix = f'{self.module}.'
        state = backbone_state(runner.model, prefix)
        filled = self.coverage.filled
        changed = [name for name in filled if not torch.equal(state[prefix + name], filled[name])]
        if changed:
            raise UserError(
                f'model.{self.module} does not have the values of {self.coverage.source} in {_few(changed)} '
                f'({len(changed)} of {len(filled)} tensors): {self._suspect(unwrapped(runner.model))}'
            )

    def _suspect(self, model: nn.Module) -> str:
        if isinstance(getattr(model.get_submodule(self.module), 'init_cfg', None), (list, tuple)):
            return (
                'its init_cfg is a list, after which mmpretrain draws the position embeddings anew; write '
                "init_cfg=dict(type='Pretrained', ...) instead"
            )
        return (
            'something has initialized them after loading; look for an init_cfg of the model around it, or an '
            'init_weights of the module itself'
        )


def check_coverage(coverage: Coverage, new: Sequence[str], module: str) -> None:
    """Refuse a checkpoint that does not fill the module.

    Args:
        coverage: What it fills.
        new: Names that may be missing.
        module: Name of the module, for messages.

    Raises:
        UserError: Something else is missing, or the checkpoint has more layers than the module, or LayerScale that the
            module would leave out.
    """
    where, total = f'model.{module}', len(coverage.filled) + len(coverage.missing)
    missing = [name for name in coverage.missing if name not in new]
    if missing:
        raise UserError(
            f'{coverage.source} does not fill {where}: {len(missing)} of {total} tensors stay random '
            f'({_few(missing)}); {_reason(coverage, where)}'
        )
    if coverage.deeper:
        raise UserError(
            f'{coverage.source} has more layers than {where}: {len(coverage.deeper)} tensors have no place there '
            f'({_few(coverage.deeper)}); {"; ".join(coverage.differences) or "another depth"}: give {where} the '
            'architecture of that checkpoint, or name another one in its init_cfg'
        )
    scales = left_out_scales(coverage.unused, ())
    if scales:
        raise UserError(f'{coverage.source} does not fit {where}: {scales}')


def describe(coverage: Coverage, new: Sequence[str], module: str) -> str:
    """A block of lines for the log: what is filled, resized, new, and not used."""
    resized = f' (of which {len(coverage.resized)} resized: {_few(coverage.resized, 3)})'
    unused = f', not used: {_few(coverage.unused, 5)}' if coverage.unused else ''
    lines = [
        f'{module}: {len(coverage.filled)} of {len(coverage.filled) + len(coverage.missing)} tensors filled from '
        f'{coverage.source}{resized if coverage.resized else ""}{unused}'
    ]
    if new:
        lines.append(f'{module}: {len(new)} tensors start anew, as they should: {_few(new, 3)}')
    rule = '-' * 20
    return '\n'.join(['', f'{rule} initial weights {rule}', *lines, '-' * 57])


def _reason(coverage: Coverage, where: str) -> str:
    held = ', '.join(f'{name}. ({count})' for name, count in coverage.groups.most_common(6))
    if coverage.fitting_prefix is not None:
        given = repr(coverage.fitting_prefix) if coverage.fitting_prefix else 'None'
        return (
            f'the file has this network under another prefix than {coverage.prefix!r} (it holds {held}); set '
            f'prefix={given} in {where}.init_cfg'
        )
    if coverage.differences:
        return (
            f'another architecture: {"; ".join(coverage.differences)}; give {where} the architecture of that '
            'checkpoint, or name another one in its init_cfg'
        )
    if coverage.shapes:
        name, (there, here) = next(iter(coverage.shapes.items()))
        return (
            f'{name} is {there} in the file and {here} in the model; give {where} the architecture of that '
            'checkpoint, or name another one in its init_cfg'
        )
    return (
        f'the file holds another network or another method ({held}), and {where} looks for names that start with '
        f"{coverage.prefix!r}; name the backbone.pth that pre-training wrote, with prefix='backbone.'"
    )


def _few(names: Sequence[str], count: int = 2) -> str:
    return ', '.join(names[:count]) + (' ...' if len(names) > count else '')
