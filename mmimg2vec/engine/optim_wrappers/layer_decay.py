"""Layer-wise decay of the learning rate for classifiers, detectors and segmenters alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmengine.logging import print_log
from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from torch import nn

from mmimg2vec.errors import UserError
from mmimg2vec.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmimg2vec.utils.distributed import unwrapped

_OPTIONS = {
    'layer_decay_rate',
    'norm_decay_mult',
    'bias_decay_mult',
    'flat_decay_mult',
    'custom_keys',
}
# Parts of a parameter's name that wrappers around a module add.
_WRAPPERS = {'module', '_fsdp_wrapped_module', '_checkpoint_wrapped_module', '_orig_mod'}


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(LearningRateDecayOptimWrapperConstructor):
    """mmpretrain's layer-wise decay (BEiT, arXiv 2106.08254), for any model with a ``backbone`` that knows its layers.

    Block i (from 1) of a backbone of L blocks learns at ``lr * rate ** (L + 1 - i)``, patch and position embedding at
    ``lr * rate ** (L + 1)``, everything else, such as neck and heads, at ``lr``. mmpretrain's constructor asks the
    model itself for layers, which detectors and segmenters do not know.

    Args:
        optim_wrapper_cfg: Config of the optimizer wrapper; ``lr`` and ``weight_decay`` of its optimizer are needed.
        paramwise_cfg: ``layer_decay_rate`` in (0, 1], needed; ``norm_decay_mult``, ``bias_decay_mult``,
            ``flat_decay_mult`` (one-dimensional parameters): factors of the weight decay; ``custom_keys``: a dict from
            parts of names to ``dict(decay_mult=..., lr_mult=...)``, which stand above the former.

    Raises:
        UserError: An option is missing or unknown, or the backbone has no ``get_layer_depth``.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        unknown = sorted(set(self.paramwise_cfg) - _OPTIONS)
        if unknown:
            raise UserError(
                f'paramwise_cfg.{unknown[0]} is unknown to LayerDecayOptimWrapperConstructor; choose among '
                f'{", ".join(sorted(_OPTIONS))}'
            )
        rate = self.paramwise_cfg.get('layer_decay_rate')
        if rate is None or not 0 < rate <= 1:
            raise UserError(
                f'paramwise_cfg.layer_decay_rate={rate}: LayerDecayOptimWrapperConstructor needs a factor above 0 '
                'and up to 1'
            )
        if self.base_lr is None or self.base_wd is None:
            raise UserError(
                'LayerDecayOptimWrapperConstructor scales lr and weight_decay: set both in optim_wrapper.optimizer'
            )

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        get_layer_depth: Callable[[str], tuple[int, int]] | None = None,
        **kwargs,
    ) -> None:
        """Add groups of parameters with rates and weight decays of their own to ``params``, in place."""
        if get_layer_depth is not None:  # called by itself, for a child
            super().add_params(params, module, prefix, get_layer_depth)
            return
        single: list[dict] = []
        super().add_params(single, module, prefix, layer_depths(module))
        params.extend(_merged(single))
        scales = {group['layer_id']: group['lr_scale'] for group in single}
        listed = ', '.join(f'{layer}: {scale:.4g}' for layer, scale in sorted(scales.items()))
        print_log(
            f'layer-wise learning rates, {self.base_lr:g} times, from the embedding to the heads: {listed}',
            'current',
        )


def layer_depths(model: nn.Module) -> Callable[[str], tuple[int, int]]:
    """Find the function from a parameter's name to the depth of its layer and the number of depths.

    Args:
        model: With a ``backbone`` that has ``get_layer_depth(name, prefix)``, or with ``get_layer_depth(name)``.

    Raises:
        UserError: There is none.
    """
    backbone: Any = getattr(model, 'backbone', None)
    backbone = unwrapped(backbone)
    prefix = () if backbone is None else ('backbone.',)
    source: Any = model if backbone is None else backbone

    def depth(name: str) -> tuple[int, int]:
        name = '.'.join(part for part in name.split('.') if part not in _WRAPPERS)
        return source.get_layer_depth(name, *prefix)

    try:
        depth('any.weight')  # mmpretrain's small ResNets have the method, but it is not implemented
    except (AttributeError, NotImplementedError) as error:
        raise UserError(
            f'layer-wise decay: {type(source).__name__} has no get_layer_depth; choose a backbone that has, such as '
            'mmpretrain.VisionTransformer, or remove optim_wrapper.constructor'
        ) from error
    return depth


def _merged(groups: list[dict]) -> list[dict]:
    """Put parameters with equal settings into one group: optimizers step through a group at once."""
    merged: dict[str, dict] = {}
    seen = set()
    for group in groups:
        settings = {k: v for k, v in group.items() if k not in ('params', 'param_name', 'lr_mult')}
        settings['lr'] *= group.get('lr_mult', 1)
        (parameter,) = group['params']
        if id(parameter) in seen:  # shared by two modules
            continue
        seen.add(id(parameter))
        target = merged.setdefault(repr(settings), dict(params=[], param_names=[], **settings))
        target['params'].append(parameter)
        target['param_names'].append(group['param_name'])
    return list(merged.values())
