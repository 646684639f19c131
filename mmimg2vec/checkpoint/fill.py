"""Filling a module from a checkpoint, with nothing left unfilled in silence."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mmimg2vec.checkpoint.sources import load_verified
from mmimg2vec.errors import UserError

# LayerScale in mmpretrain's vision transformers.
_SCALE = re.compile(r'^layers\.\d+\.(attn|ffn)\.gamma\d\.weight$')
# Layers around the weights that say nothing of them.
_WRAPPERS = ('state_dict', 'model', 'checkpoint')
# Of two copies of a network, the one whose prefix has the first part is what its authors evaluate, or recommend.
_PREFERRED = (
    ('encoder_q', 'encoder_k'),  # MoCo
    ('base_encoder', 'momentum_encoder'),  # MoCo v3
    ('teacher', 'student'),  # DINO, iBOT
    ('backbone', 'target_net'),  # BYOL in OpenMMLab
    ('backbone', 'momentum_backbone'),
    ('online_encoder', 'target_encoder'),  # BYOL
    ('visual', 'transformer'),  # CLIP: the image tower, the text tower
)


def load_weights(path: str, sha256: str | None = None) -> dict[str, Tensor]:
    """Load the tensors of a checkpoint (a file, a URL or another mmengine scheme) under their full names.

    ``state_dict``, ``model`` and ``checkpoint`` around them are taken off, however deep; tensors in other dicts, as
    DINO keeps ``teacher`` beside ``student``, get the dict's name as a prefix.

    Args:
        path: Of the checkpoint; ``.safetensors`` or what ``torch.save`` writes.
        sha256: That the file has to have, in hexadecimal (its first eight digits or more); None does not ask.

    Raises:
        UserError: The file is missing, unreadable, another one than ``sha256`` says, or holds no tensors.
    """
    try:
        if sha256 is None:
            checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
        else:
            checkpoint = load_verified(path, sha256)
    except UserError:
        raise
    except Exception as error:
        # Whatever a loader, a download or a damaged archive raises, it is this file that the user has to mend.
        raise UserError(
            f'cannot read the checkpoint {path!r}: {type(error).__name__}: {error}; '
            'check the path, or download the file again'
        ) from error
    weights = _named_tensors(_unwrapped(checkpoint))
    if not weights:
        raise UserError(f'the checkpoint {path!r} holds no tensors; name a file with model weights')
    return weights


def _unwrapped(checkpoint: Any) -> Any:
    while isinstance(checkpoint, Mapping):
        inner = next((checkpoint[x] for x in _WRAPPERS if isinstance(checkpoint.get(x), Mapping)), None)
        if inner is None:
            break
        checkpoint = inner
    return checkpoint


def _named_tensors(node: Any, name: str = '') -> dict[str, Tensor]:
    if isinstance(node, Tensor):
        return {name: node}
    found = {}
    for key, value in node.items() if isinstance(node, Mapping) else ():
        found.update(_named_tensors(value, f'{name}.{key}' if name else str(key)))
    return found


def find_prefix(module: nn.Module, weights: Mapping[str, Tensor], source: str, ending: str = '') -> str:
    """Find the prefix under which a checkpoint keeps a network, such as ``'module.encoder_q.'``.

    It is the one that has most of the module's names. Where two have them all, the one whose copy is evaluated by its
    authors is taken (``base_encoder`` before ``momentum_encoder``, ``teacher`` before ``student`` ...).

    Args:
        module: The network.
        weights: Of the checkpoint.
        source: What to call it in errors.
        ending: Only prefixes that end so.

    Raises:
        UserError: Two prefixes hold the network, and no rule chooses; the config has to.
    """
    wanted = set(required_keys(module))
    counts = Counter(key[: len(key) - len(name)] for key in weights for name in _endings(key) if name in wanted)
    filled = {prefix: n for prefix, n in counts.items() if f'.{prefix}'.endswith(f'.{ending}')}
    if not filled:
        return ending
    best = max(filled.values())
    winners = sorted(prefix for prefix, count in filled.items() if count == best)
    for first, second in _PREFERRED:
        preferred = [p for p in winners if first in p.split('.')]
        if preferred and any(second in p.split('.') for p in winners):
            winners = preferred
    # Prefixes that hold a part of it only are those of another network: what is missing will be named.
    if len(winners) > 1 and best == len(wanted):
        raise UserError(
            f'{source!r} holds the network {len(winners)} times, under the prefixes '
            f'{", ".join(map(repr, winners[:4]))}{", ..." if len(winners) > 4 else ""}; choose one with prefix= in '
            'init_cfg'
        )
    return winners[0]


def fill_module(
    module: nn.Module,
    path: str,
    prefix: str | None = None,
    sha256: str | None = None,
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
) -> str:
    """Fill every parameter and buffer of a module from a checkpoint.

    Further entries of the checkpoint, such as heads and queues, are ignored; further blocks of the network are not.

    Args:
        module: The network to fill, in place.
        path: Checkpoint: file, URL or another mmengine scheme.
        prefix: Prefix of the network's keys, or its end; None finds it.
        sha256: As :func:`load_weights`.
        convert: Turns the weights, without their prefix, into those of the module.

    Returns:
        The prefix that was taken.

    Raises:
        UserError: Something stays unfilled or has another shape, the file is of a deeper network, or LayerScale would
            be left out.
    """
    weights = load_weights(path, sha256)
    ending = f'{prefix.rstrip(".")}.' if prefix else ''
    if prefix == '' or (ending and any(key.startswith(ending) for key in weights)):
        prefix = ending
    else:
        prefix = find_prefix(module, weights, path, ending)
    selected = {key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)}
    if convert is not None:
        try:
            selected = convert(selected)
        except UserError as error:  # which is a RuntimeError, and knows no path
            raise UserError(f'{path!r} is no checkpoint of {_name(module)}: {error}') from error
        except (KeyError, RuntimeError, AttributeError, IndexError, ValueError) as error:
            raise UserError(
                f'{path!r} cannot be turned into weights of {_name(module)}: {type(error).__name__}: {error}; name '
                'the checkpoint of this architecture'
            ) from error
    own = module.state_dict()
    scales = left_out_scales(selected, own)
    if scales:
        raise UserError(f'{path!r} does not fit {_name(module)}: {scales}')
    missing = [key for key in required_keys(module) if key not in selected]
    if missing:
        raise UserError(
            f'{path!r} does not fill {_name(module)}: {len(missing)} of {len(required_keys(module))} '
            f'entries are missing (first: {missing[0]!r}; the file holds e.g. {sorted(weights)[0]!r}); '
            "name the checkpoint of this architecture, or the prefix of its keys with init_cfg['prefix']"
        )
    blocks = (deeper_block(name, own) for name in selected if name not in own)
    further = list(dict.fromkeys(filter(None, blocks)))
    if further:
        raise UserError(
            f'{path!r} is of a deeper network than {_name(module)}: it has the blocks {", ".join(further[:4])}'
            f'{", ..." if len(further) > 4 else ""} beside those of the model; name the checkpoint of this architecture'
        )
    try:
        # The module's own hooks may adapt an entry first, such as a position embedding of another grid.
        module.load_state_dict({key: selected[key] for key in own if key in selected}, strict=False)
    except RuntimeError as error:
        raise UserError(
            f'{path!r} does not fit {_name(module)}: {_first_mismatch(error)}; name the checkpoint of this architecture'
        ) from error
    return prefix


def _endings(key: str) -> list[str]:
    """A name, and what is left of it after each of its dots."""
    parts = key.split('.')
    return ['.'.join(parts[i:]) for i in range(len(parts))]


def _name(module: nn.Module) -> str:
    return type(module).__name__


def _first_mismatch(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if 'size mismatch' in line]
    return f'{lines[0]} ({len(lines)} such entries)' if lines else str(error)


def required_keys(module: nn.Module) -> list[str]:
    """Keys that a checkpoint has to hold: all of the state but the batch counters of BatchNorm."""
    return [key for key in module.state_dict() if not key.endswith('num_batches_tracked')]


def left_out_scales(weights: Iterable[str], own: Container[str]) -> str:
    """What is wrong, and the cure, where a file has LayerScale and the network would leave it out; else an empty string.

    Without its scales a network loads in silence and computes something else.

    Args:
        weights: Names in the file, without their prefix.
        own: Names of the network.
    """
    names = [name for name in weights if _SCALE.search(name) and name not in own]
    if not names:
        return ''
    return (
        f'the file has LayerScale and the model has none ({len(names)} tensors have no place there, such as {names[0]}); '
        'set layer_scale_init_value=0.1 of the backbone (any value above 0: the file has the weights)'
    )


def deeper_block(name: str, own: Container[str]) -> str | None:
    """The block that a name of a file belongs to, such as ``layer3.5``, where the network has the same one as number 0.

    Args:
        name: In the file, without its prefix, and none of the network's.
        own: Names of the network.

    Returns:
        The block; None where it belongs to none, as the names of heads and queues.
    """
    parts = name.split('.')
    for i, part in enumerate(parts):
        if part.isdigit() and '.'.join([*parts[:i], '0', *parts[i + 1 :]]) in own:
            return '.'.join(parts[: i + 1])
    return None


def fingerprint(module: nn.Module) -> str:
    """SHA-256 (hex) over the names, types, shapes and values of a module's state."""
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        value = value.detach().cpu().contiguous()
        digest.update(f'{key} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
