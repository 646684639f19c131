"""Filling a module from a checkpoint, with nothing left unfilled in silence."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mmimg2vec.errors import UserError

# Layers under which released checkpoints keep the weights.
_WRAPPERS = ('state_dict', 'model', 'teacher')


def load_weights(path: str) -> dict[str, Tensor]:
    """Load the tensors of a checkpoint (a file, a URL or another mmengine scheme), unwrapped.

    Raises:
        UserError: The file is missing, unreadable or holds no tensors.
    """
    try:
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except UserError:
        raise
    except Exception as error:
        # Whatever a loader, a download or a damaged archive raises, it is this file that the user has to mend.
        raise UserError(
            f'cannot read the checkpoint {path!r}: {type(error).__name__}: {error}; '
            'check the path, or download the file again'
        ) from error
    for name in _WRAPPERS:
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(name), Mapping):
            checkpoint = checkpoint[name]
    weights = checkpoint if isinstance(checkpoint, Mapping) else {}
    weights = {key: value for key, value in weights.items() if isinstance(value, Tensor)}
    if not weights:
        raise UserError(f'the checkpoint {path!r} holds no tensors; name a file with model weights')
    return weights


def find_prefix(module: nn.Module, weights: Mapping[str, Tensor], source: str) -> str:
    """Find the prefix under which a checkpoint keeps this module, such as ``'module.encoder_q.'``.

    Raises:
        UserError: Two prefixes hold the whole module; the config has to choose.
    """
    wanted = required_keys(module)
    probe = wanted[0]
    candidates = [key[: -len(probe)] for key in weights if f'.{key}'.endswith(f'.{probe}')]
    if not candidates:
        return ''
    filled = {prefix: sum(prefix + key in weights for key in wanted) for prefix in candidates}
    best = max(filled.values())
    winners = sorted(prefix for prefix, count in filled.items() if count == best)
    if len(winners) > 1:
        raise UserError(
            f'{source!r} holds the network {len(winners)} times, under the prefixes '
            f'{", ".join(map(repr, winners))}; choose one with prefix= in init_cfg'
        )
    return winners[0]


def fill_module(module: nn.Module, path: str, prefix: str | None = None) -> None:
    """Fill every parameter and buffer of a module from a checkpoint; further entries of the checkpoint are ignored.

    Args:
        module: The network to fill, in place.
        path: Checkpoint: file, URL or another mmengine scheme.
        prefix: Prefix of the network's keys; None finds it.

    Raises:
        UserError: Something stays unfilled or has another shape.
    """
    weights = load_weights(path)
    if prefix is None:
        prefix = find_prefix(module, weights, path)
    elif prefix and not prefix.endswith('.'):
        prefix += '.'
    selected = {
        key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)
    }
    own = module.state_dict()
    missing = [key for key in required_keys(module) if key not in selected]
    if missing:
        raise UserError(
            f'{path!r} does not fill {type(module).__name__}: {len(missing)} of {len(required_keys(module))} '
            f'entries are missing (first: {missing[0]!r}; the file holds e.g. {sorted(weights)[0]!r}); '
            "name the checkpoint of this architecture, or the prefix of its keys with init_cfg['prefix']"
        )
    try:
        # The module's own hooks may adapt an entry first, such as a position embedding of another grid.
        module.load_state_dict({key: selected[key] for key in own if key in selected}, strict=False)
    except RuntimeError as error:
        raise UserError(
            f'{path!r} does not fit {type(module).__name__}: {_first_mismatch(error)}; name the checkpoint of this '
            'architecture'
        ) from error


def _first_mismatch(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if 'size mismatch' in line]
    return f'{lines[0]} ({len(lines)} such entries)' if lines else str(error)


def required_keys(module: nn.Module) -> list[str]:
    """Keys that a checkpoint has to hold: all of the state but the batch counters of BatchNorm."""
    return [key for key in module.state_dict() if not key.endswith('num_batches_tracked')]


def fingerprint(module: nn.Module) -> str:
    """SHA-256 (hex) over the names, types, shapes and values of a module's state."""
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        value = value.detach().cpu().contiguous()
        digest.update(f'{key} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
