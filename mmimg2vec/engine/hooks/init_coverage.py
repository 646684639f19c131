"""A fine-tuning run starts from the whole pre-trained backbone, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner, find_latest_checkpoint
from mmengine.runner.base_loop import BaseLoop
from torch import Tensor, nn

from mmimg2vec.checkpoint.fill import fill
from mmimg2vec.checkpoint.fill_report import FillReport, few
from mmimg2vec.checkpoint.positions import Weights, fit_positions
from mmimg2vec.checkpoint.weights import load_weights, named_weights, offer_weights, withdraw_weights
from mmimg2vec.engine.hooks.backbone_export import backbone_state
from mmimg2vec.errors import UserError
from mmimg2vec.registry import HOOKS
from mmimg2vec.utils.distributed import on_main_process, unwrapped


@HOOKS.register_module()
class InitCoverageHook(Hook):
    """Reports what the ``init_cfg`` of the backbone fills; less than the whole backbone ends the run before it starts.

    Before the model is initialized it fills the module as every other door does
    (:func:`mmimg2vec.checkpoint.fill.fill`), and has mmengine take the same tensors: from under the prefix that was
    found where ``init_cfg`` names none, or its end (``'backbone.'`` for DINO's ``teacher.backbone.``), and out of
    layers such as ``model``. Before the first step it compares the values: a list in ``init_cfg``, or an
    ``init_weights`` that runs later, may have drawn some of them anew. Names that pre-training cannot have (the
    module's attribute ``new_parameters``, such as the relative position tables of ``mmimg2vec.ViTDet``, and
    ``allow_missing``) may be missing and are named. ``load_from`` is measured, and taken up, likewise. A run that goes
    on from its own checkpoint needs the file of its ``init_cfg`` no more, which is not read then; one whose parameters
    FSDP has sharded is not checked.

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
        self._source = ''
        self._values: dict[str, Tensor] = {}
        self._entry: tuple[Any, Any] | None = None  # a module, and the init_cfg that it gets back

    def before_run(self, runner: Runner) -> None:
        """Fill the module and report, after the datasets are built and before the model is initialized.

        Raises:
            UserError: The checkpoint is missing, unreadable or does not fill the module.
        """
        self._values, self._entry = {}, None
        if not isinstance(runner._train_loop, BaseLoop) or runner.iter > 0:
            return  # a test, or a second call
        start = runner._load_from
        if start is None and runner._resume:
            start = find_latest_checkpoint(runner.work_dir)
        if start is not None:
            runner.logger.info(f'{self.module}: weights come from {start}, init_cfg is not used')
            self._leave_out_init_cfg(unwrapped(runner.model))
        elif any('_fsdp_wrapped_module' in name for name, _ in runner.model.named_parameters()):
            runner.logger.info(f'{self.module}: sharded by FSDP, its init_cfg is not checked')
        else:
            self._start(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Fill the module from ``load_from``, and report; mmengine would pass over what has other names.

        Raises:
            UserError: The file does not fill the module.
        """
        if runner._resume or not isinstance(runner._train_loop, BaseLoop):
            return
        module = self._find_module(unwrapped(runner.model))
        report = self._report(runner, module, named_weights(checkpoint, runner._load_from), runner._load_from, None)
        # mmengine loads the file now: what was resized, or has another name there, as it is in the module.
        state = module.state_dict()
        entries = checkpoint.get('state_dict', checkpoint)
        entries.update({f'{self.module}.{name}': state[name].detach().clone() for name in report.filled})

    def before_train(self, runner: Runner) -> None:
        """Compare values, after initialization.

        Raises:
            UserError: Something has changed them after loading.
        """
        if self._entry is not None:
            owner, given = self._entry
            withdraw_weights((pretrained_cfg(owner.init_cfg) or {}).get('checkpoint', ''))
            owner.init_cfg = given
        if not runner._has_loaded:
            on_main_process(lambda: self._compare_values(runner))
        self._values, self._entry = {}, None  # the values are as large as the module

    def _find_module(self, model: nn.Module) -> nn.Module:
        try:
            return model.get_submodule(self.module)
        except AttributeError as error:
            raise UserError(
                f'the model has no {self.module}: set module= of InitCoverageHook to one of '
                f'{", ".join(name for name, _ in model.named_children())}'
            ) from error

    def _owner(self, model: nn.Module) -> Any:
        """The module whose ``init_cfg`` loads a checkpoint, or None."""
        owners = (self._find_module(model), model)
        return next((owner for owner in owners if pretrained_cfg(getattr(owner, 'init_cfg', None))), None)

    def _leave_out_init_cfg(self, model: nn.Module) -> None:
        owner = self._owner(model)
        if owner is not None:
            self._entry, owner.init_cfg = (owner, owner.init_cfg), None

    def _start(self, runner: Runner) -> None:
        model = unwrapped(runner.model)
        module, owner = self._find_module(model), self._owner(model)
        if owner is None:
            runner.logger.info(f'{self.module}: random weights (no init_cfg)')
            return
        inside = f'{self.module}.' if owner is model else ''
        given, entry = owner.init_cfg, dict(pretrained_cfg(owner.init_cfg) or {})
        source, prefix = entry['checkpoint'], entry.pop('prefix', None)
        # By all processes: they wait for each other's downloads.
        weights = fit_positions(load_weights(source), module)
        if inside:
            prefix = f'{prefix.rstrip(".")}.{inside}' if prefix else inside
        report = on_main_process(lambda: self._report(runner, module, weights, source, prefix))
        prefix = report.prefix.removesuffix(inside)
        entry.update({'prefix': prefix} if prefix else {}, checkpoint=offer_weights(source, weights))
        owner.init_cfg = _replaced(given, entry)
        self._entry = owner, given

    def _report(
        self, runner: Runner, module: nn.Module, weights: Weights, source: str, prefix: str | None
    ) -> FillReport:
        report = fill(
            module,
            weights,
            prefix=prefix,
            name=source,
            allow_missing=(*getattr(module, 'new_parameters', ()), *self.allow_missing),
            where=f'model.{self.module}',
        )
        rule = '-' * 20
        runner.logger.info(f'\n{rule} initial weights {rule}\n{report}\n{"-" * 57}')
        state = module.state_dict()
        self._source = report.source
        self._values = {name: state[name].detach().cpu().clone() for name in report.filled}
        return report

    def _compare_values(self, runner: Runner) -> None:
        prefix = f'{self.module}.'
        state = backbone_state(runner.model, prefix) if self._values else {}
        changed = [name for name, value in self._values.items() if not torch.equal(state[prefix + name], value)]
        if changed:
            raise UserError(
                f'model.{self.module} does not have the values of {self._source} in {few(changed)} '
                f'({len(changed)} of {len(self._values)} tensors): {self._suspect(unwrapped(runner.model))}'
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


def pretrained_cfg(init_cfg: dict | Sequence[dict] | None) -> dict | None:
    """The entry of an ``init_cfg`` that loads a checkpoint; of several the one that is applied last."""
    entries = [init_cfg] if isinstance(init_cfg, Mapping) else list(init_cfg or [])
    loading = [entry for entry in entries if _type_name(entry) in ('Pretrained', 'PretrainedInit')]
    return loading[-1] if loading else None


def _replaced(init_cfg: dict | Sequence[dict], entry: dict) -> dict | list[dict]:
    """An ``init_cfg`` with another entry in the place of the one that loads a checkpoint."""
    if isinstance(init_cfg, Mapping):
        return entry
    loading = pretrained_cfg(init_cfg)
    return [entry if each is loading else each for each in init_cfg]


def _type_name(entry: Mapping) -> str:
    kind = entry['type']
    return kind.split('.')[-1] if isinstance(kind, str) else kind.__name__
