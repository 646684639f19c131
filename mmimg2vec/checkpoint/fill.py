"""Filling a module from a checkpoint: one definition of "filled", for every door.

mmengine's loader passes over whatever does not fit: a missing layer or another shape leaves random weights, and only
a warning among many says so. Here teacher, student, downstream start, inference, report and export ask the same
function, and what it found is one :class:`FillReport`.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmimg2vec.checkpoint.fill_report import FillReport
from mmimg2vec.checkpoint.foreign_names import conversion
from mmimg2vec.checkpoint.positions import fit_positions
from mmimg2vec.checkpoint.weights import choose_prefix, count_prefixes, load_weights, named_weights
from mmimg2vec.errors import UserError

_LAYER = re.compile(r'(?:^|\.)(?:layers|blocks)\.(\d+)\.')
# LayerScale in mmpretrain's vision transformers.
_SCALE = re.compile(r'^layers\.\d+\.(attn|ffn)\.gamma\d\.weight$')
# Register tokens, as timm, DINOv2 and DINOv3 name them.
_REGISTERS = re.compile(r'^(reg_token|register_tokens|storage_tokens)$')
_MISMATCH = re.compile(r'size mismatch for (\S+): ')


def fill(
    module: nn.Module,
    source: str | Mapping[str, Any],
    *,
    prefix: str | None = None,
    strict: bool = True,
    sha256: str | None = None,
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
    allow_missing: Sequence[str] = (),
    allow_unused: Sequence[str] | None = None,
    name: str | None = None,
    where: str | None = None,
    cure: str | None = None,
) -> FillReport:
    """Fill a module from a checkpoint, and report what is filled, missing and left over.

    Filled are all parameters and buffers of floating point; counters and index tables follow from the architecture. The
    module's own hooks may adapt an entry first, such as a position embedding of another grid.

    Args:
        module: The network, filled in place.
        source: Checkpoint: a file, a URL or another mmengine scheme, or what such a file holds.
        prefix: Prefix of the network's names in the file, or its end; None finds it, ``''`` is none.
        strict: Whether a module that is not wholly filled is an error.
        sha256: That the file has to have, in hexadecimal (its first eight digits or more).
        convert: Turns the weights, without their prefix, into those of the module.
        allow_missing: Regular expressions, searched in the module's names, of what may stay as it is.
        allow_unused: The same of what the file may hold beside, under the prefix; None: heads and queues may be there,
            further blocks and LayerScale not.
        name: What to call the file in errors, where ``source`` is its content.
        where: What to call the module in errors; None is the name of its class.
        cure: What to do where the file does not fit; None: the architecture of the file.

    Raises:
        UserError: The file cannot be had, loaded or converted, or holds values that are not finite. If ``strict``: see
            :meth:`FillReport.check`.
    """
    name = name or (source if isinstance(source, str) else 'the checkpoint')
    where = where or type(module).__name__
    weights = load_weights(source, sha256) if isinstance(source, str) else named_weights(source, name)
    weights = fit_positions(weights, module)
    wanted = required_names(module)
    found = choose_prefix(wanted, weights, name, prefix)
    selected = {key[len(found) :]: value for key, value in weights.items() if key.startswith(found)}
    if convert is not None:
        selected = _converted(convert, selected, name, where)
    own = module.state_dict()
    _check_finite(selected, own, name, found)
    before = {key: tuple(value.shape) for key, value in own.items()}
    missing, shapes = _load(module, selected, before, name, where)
    # What the module's own hooks take up under another name.
    renamed = getattr(module, 'takes_over', {})
    unused = tuple(key for key in selected if key not in own and renamed.get(key) not in own)
    absent = [key for key in wanted if key in missing]
    new = tuple(key for key in absent if _matches(key, allow_missing))
    report = FillReport(
        source=name,
        where=where,
        prefix=found,
        filled=tuple(key for key in wanted if key not in missing),
        resized=tuple(
            key for key in wanted if key in selected and key not in missing and selected[key].shape != before[key]
        ),
        missing=tuple(key for key in absent if key not in new),
        new=new,
        shapes=shapes,
        unused=unused,
        deeper=tuple(key for key in unused if _further_block(key, own)),
        scales=tuple(key for key in unused if _SCALE.search(key)),
        registers=tuple(key for key in unused if _REGISTERS.search(key)),
        surplus=tuple(key for key in unused if allow_unused is not None and not _matches(key, allow_unused)),
        positions=weights.note,
        groups=Counter(key.split('.')[0] for key in weights),
        differences=_differences(selected, own),
        fitting_prefix=_fitting_prefix(wanted, weights, found) if absent else None,
        conversion=conversion(weights, wanted) if absent else None,
        cure=cure or f'give {where} the architecture of that checkpoint, or name another checkpoint',
    )
    if strict:
        report.check()
    return report


def required_names(module: nn.Module) -> list[str]:
    """Names that a checkpoint has to hold: parameters and buffers of floating point."""
    return [key for key, value in module.state_dict().items() if value.is_floating_point()]


def fingerprint(module: nn.Module) -> str:
    """SHA-256 (hex) over the names, types, shapes and values of a module's state."""
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        value = value.detach().cpu().contiguous()
        digest.update(f'{key} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _load(
    module: nn.Module,
    selected: Mapping[str, Tensor],
    own: Mapping[str, tuple[int, ...]],
    name: str,
    where: str,
) -> tuple[set[str], dict[str, tuple[tuple[int, ...], tuple[int, ...]]]]:
    """Fill what fits; return the names that stay, and the shapes (in the file, in the module) that do not fit.

    Raises:
        UserError: The module takes nothing of it up, for another reason than a shape.
    """
    selected = dict(selected)
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    while True:
        try:
            return {*module.load_state_dict(selected, strict=False).missing_keys, *shapes}, shapes
        except Exception as error:  # a module's conversion may fail of anything in a file of another kind
            wrong = [key for key in _MISMATCH.findall(str(error)) if key in selected]
            if not wrong:
                raise UserError(
                    f'{where} cannot take up {name} ({error}): give it the architecture of that checkpoint, '
                    'with_cls_token included, or name another checkpoint'
                ) from error
            for key in wrong:
                shapes[key] = tuple(selected.pop(key).shape), own[key]


def _converted(convert: Callable, selected: dict[str, Tensor], name: str, where: str) -> dict[str, Tensor]:
    try:
        return convert(selected)
    except UserError as error:  # which is a RuntimeError, and knows no path
        raise UserError(f'{name!r} is no checkpoint of {where}: {error}') from error
    except (KeyError, RuntimeError, AttributeError, IndexError, ValueError) as error:
        raise UserError(
            f'{name!r} cannot be turned into weights of {where}: {type(error).__name__}: {error}; name the checkpoint '
            'of this architecture'
        ) from error


def _check_finite(selected: Mapping[str, Tensor], own: Container[str], name: str, prefix: str) -> None:
    for key, value in selected.items():
        if key in own and value.is_floating_point() and not torch.isfinite(value).all():
            raise UserError(
                f'{name} holds values that are not finite ({prefix}{key}): that training diverged; take an earlier '
                'checkpoint, or train again with a lower learning rate'
            )


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


def _further_block(name: str, own: Container[str]) -> bool:
    """Whether a name of a file belongs to a block such as ``layer3.5``, the network having the same one as number 0."""
    parts = name.split('.')
    return any(part.isdigit() and '.'.join([*parts[:i], '0', *parts[i + 1 :]]) in own for i, part in enumerate(parts))


def _differences(file: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> tuple[str, ...]:
    """How a vision transformer's checkpoint differs from the module."""
    there, here = _architecture(file), _architecture(own)
    return tuple(
        f'{key} {there[key]} in the file, {here[key]} in the model'
        for key in there
        if key in here and there[key] != here[key]
    )


def _architecture(state: Mapping[str, Tensor]) -> dict[str, int]:
    found = {}
    patches = state.get('patch_embed.projection.weight')
    if patches is not None and patches.ndim == 4:
        found = dict(width=patches.shape[0], channels=patches.shape[1], patch_size=patches.shape[-1])
    layers = {int(match[1]) for match in map(_LAYER.search, state) if match}
    if layers:
        found['depth'] = max(layers) + 1
    return found


def _fitting_prefix(wanted: Sequence[str], weights: Mapping[str, Tensor], taken: str) -> str | None:
    """Another prefix under which the file has most names of the module."""
    best = count_prefixes(wanted, weights).most_common(1)
    return best[0][0] if best and best[0][1] > len(wanted) // 2 and best[0][0] != taken else None
