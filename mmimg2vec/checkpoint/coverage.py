"""What of a module an ``init_cfg`` of type 'Pretrained' fills, found by filling a copy of it.

mmengine's loader passes over whatever does not fit: a missing layer or another shape leaves random weights, and only
a warning among many says so.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import load_state_dict
from torch import Tensor, nn

from mmimg2vec.checkpoint.fill import deeper_block, required_keys
from mmimg2vec.errors import UserError

_LAYER = re.compile(r'(?:^|\.)(?:layers|blocks)\.(\d+)\.')


@dataclass
class Coverage:
    """Which tensors of a module a checkpoint fills.

    Attributes:
        source: The checkpoint.
        prefix: Beginning of the module's names in it.
        filled: Name in the module -> value after loading, on the CPU.
        resized: Names of ``filled`` whose shape in the file is another.
        missing: Names that stay as they were.
        shapes: Those of ``missing`` that the file has -> (shape in the file, shape in the module).
        unused: Names under the prefix that the module has no place for.
        deeper: Those of ``unused`` that belong to further layers of the same kind.
        groups: Beginnings of all names in the file, up to their first dot -> number of tensors.
        differences: How the architecture in the file differs, such as 'depth 12 in the file, 4 in the model'.
        fitting_prefix: Another prefix under which the file has names of the module, or None.
    """

    source: str
    prefix: str
    filled: dict[str, Tensor] = field(default_factory=dict)
    resized: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    deeper: list[str] = field(default_factory=list)
    groups: Counter = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)
    fitting_prefix: str | None = None


def pretrained_cfg(init_cfg: dict | Sequence[dict] | None) -> dict | None:
    """The entry of an ``init_cfg`` that loads a checkpoint; of several the one that is applied last."""
    entries = [init_cfg] if isinstance(init_cfg, Mapping) else list(init_cfg or [])
    loading = [entry for entry in entries if _type_name(entry) in ('Pretrained', 'PretrainedInit')]
    return loading[-1] if loading else None


def measure_coverage(module: nn.Module, source: str, prefix: str | None = None, inside: str = '') -> Coverage:
    """Find out what a checkpoint fills, the module's own conversions at loading included; the module stays as it is.

    Args:
        module: The module, initialized or not.
        source: Checkpoint as in ``init_cfg``: a file, a URL or another mmengine scheme.
        prefix: As in ``init_cfg``; None takes the names as they are, without DDP's ``module.``.
        inside: Name of the module, with its dot, in a larger module to which the ``init_cfg`` belongs.

    Raises:
        UserError: The file is missing or unreadable, holds no tensors or values that are not finite, or the module
            cannot convert a tensor of it.
    """
    weights = _read(source)
    if prefix is None:
        weights = {re.sub(r'^module\.', '', name): value for name, value in weights.items()}
        prefix = inside
    else:
        prefix = f'{prefix.rstrip(".")}.{inside}'
    selected = {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)}
    loaded = _fill_copy(module, selected, source)
    coverage = Coverage(source, prefix, groups=Counter(name.split('.')[0] for name in weights))
    own = module.state_dict()
    for name in required_keys(module):
        value, given = loaded[name], selected.get(name)
        if not value.is_floating_point():
            continue  # counters and index tables, which the architecture decides
        if given is not None and not torch.isfinite(given).all():
            raise UserError(
                f'{source} holds values that are not finite ({prefix}{name}): that training diverged; take an '
                'earlier checkpoint, or train again with a lower learning rate'
            )
        if value.numel() and torch.isnan(value).all():
            coverage.missing.append(name)
            if given is not None:
                coverage.shapes[name] = tuple(given.shape), tuple(value.shape)
            continue
        coverage.filled[name] = value
        if given is not None and given.shape != value.shape:
            coverage.resized.append(name)
    coverage.unused = [name for name in selected if name not in own]
    coverage.deeper = [name for name in coverage.unused if deeper_block(name, own)]
    coverage.differences = _differences(selected, own)
    if coverage.missing:
        fitting = _fitting_prefix(own, weights)
        coverage.fitting_prefix = None if fitting == prefix else fitting
    return coverage


def _type_name(entry: Mapping) -> str:
    kind = entry['type']
    return kind.split('.')[-1] if isinstance(kind, str) else kind.__name__


def _read(source: str) -> dict[str, Tensor]:
    """Tensors of a checkpoint, unwrapped as ``init_cfg`` does it and no further."""
    checkpoint: Any = CheckpointLoader.load_checkpoint(source, map_location='cpu')
    if isinstance(checkpoint, Mapping) and 'state_dict' in checkpoint:
        checkpoint = checkpoint['state_dict']
    held = checkpoint if isinstance(checkpoint, Mapping) else {}
    weights = {k: v for k, v in held.items() if isinstance(v, Tensor)}
    if not weights:
        names = ', '.join(str(name) for name in list(held)[:4]) or 'nothing'
        raise UserError(
            f"{source} holds no tensors under 'state_dict' or at its top, where init_cfg looks (it holds {names}): "
            "save its weights as {'state_dict': weights}"
        )
    return weights


def _fill_copy(module: nn.Module, selected: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """State of a copy that held NaN only before loading."""
    filled = copy.deepcopy(module).cpu()
    with torch.no_grad():
        for value in filled.state_dict().values():
            if value.is_floating_point():
                value.fill_(float('nan'))
    try:
        load_state_dict(filled, selected, strict=False, logger='silent')
    except Exception as error:  # a module's conversion may fail of anything in a file of another kind
        raise UserError(
            f'{type(module).__name__} cannot take up {source} ({error}): give it the architecture of that '
            'checkpoint, with_cls_token included, or name another checkpoint'
        ) from error
    return filled.state_dict()


def _differences(file: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """How a vision transformer's checkpoint differs from the module."""
    there, here = _architecture(file), _architecture(own)
    return [
        f'{key} {there[key]} in the file, {here[key]} in the model'
        for key in there
        if key in here and there[key] != here[key]
    ]


def _architecture(state: Mapping[str, Tensor]) -> dict[str, int]:
    found = {}
    patches = state.get('patch_embed.projection.weight')
    if patches is not None and patches.ndim == 4:
        found = dict(width=patches.shape[0], channels=patches.shape[1], patch_size=patches.shape[-1])
    layers = {int(match[1]) for match in map(_LAYER.search, state) if match}
    if layers:
        found['depth'] = max(layers) + 1
    return found


def _fitting_prefix(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str | None:
    """Prefix under which the file has most names of the module."""
    counts: Counter = Counter()
    for name in own:
        counts.update(key[: -len(name)] for key in weights if f'.{key}'.endswith(f'.{name}'))
    best = counts.most_common(1)
    return best[0][0] if best and best[0][1] > len(own) // 2 else None
