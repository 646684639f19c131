"""The tensors of a checkpoint under their full names, and the prefix under which it keeps a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.runner import CheckpointLoader
from torch import Tensor

from mmimg2vec.checkpoint.positions import Weights, file_grid
from mmimg2vec.checkpoint.sources import load_checkpoint, load_verified
from mmimg2vec.errors import UserError

_SCHEME = 'named-weights://'
_offered: dict[str, Mapping[str, Tensor]] = {}
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


def load_weights(path: str, sha256: str | None = None) -> Weights:
    """Load the tensors of a checkpoint (a file, a URL or another mmengine scheme) under their full names.

    Args:
        path: Of the checkpoint; ``.safetensors`` or what ``torch.save`` writes.
        sha256: That the file has to have, in hexadecimal (its first eight digits or more); None does not ask.

    Returns:
        As :func:`named_weights`.

    Raises:
        UserError: The file is missing, unreadable, another one than ``sha256`` says, or holds no tensors.
    """
    try:
        checkpoint = load_checkpoint(path) if sha256 is None else load_verified(path, sha256)
    except UserError:
        raise
    except Exception as error:
        # Whatever a loader, a download or a damaged archive raises, it is this file that the user has to mend.
        raise UserError(
            f'cannot read the checkpoint {path!r}: {type(error).__name__}: {error}; '
            'check the path, or download the file again'
        ) from error
    return named_weights(checkpoint, path)


def named_weights(checkpoint: Any, source: str) -> Weights:
    """Find the tensors in what a file holds.

    ``state_dict``, ``model`` and ``checkpoint`` around them are taken off, however deep; tensors in other dicts, as
    DINO keeps ``teacher`` beside ``student``, get the dict's name as a prefix.

    Args:
        checkpoint: Content of the file.
        source: What to call it in errors.

    Returns:
        Full name -> tensor.

    Raises:
        UserError: There is none.
    """
    if isinstance(checkpoint, Weights):
        return checkpoint
    grid = file_grid(checkpoint)
    while isinstance(checkpoint, Mapping):
        inner = next((checkpoint[x] for x in _WRAPPERS if isinstance(checkpoint.get(x), Mapping)), None)
        if inner is None:
            break
        checkpoint = inner
    weights = Weights(_named_tensors(checkpoint))
    weights.grid = grid
    if not weights:
        raise UserError(f'the checkpoint {source!r} holds no tensors; name a file with model weights')
    return weights


def offer_weights(source: str, weights: Mapping[str, Tensor]) -> str:
    """Give weights in memory an address, under which an ``init_cfg`` of mmengine finds them.

    mmengine's own reading takes off ``state_dict`` and no other layer around the weights, and guesses their grid.

    Args:
        source: The file that they come from.
        weights: Full name -> tensor.

    Returns:
        The address, until :func:`withdraw_weights`.
    """
    CheckpointLoader.register_scheme(_SCHEME, _load_offered, force=True)
    _offered[_SCHEME + source] = weights
    return _SCHEME + source


def withdraw_weights(address: str) -> None:
    """Forget weights that were offered."""
    _offered.pop(address, None)


def _load_offered(filename: str, map_location: Any = None) -> dict[str, dict[str, Tensor]]:
    weights = dict(_offered[filename])
    if map_location is not None:
        weights = {key: value.to(map_location) for key, value in weights.items()}
    return {'state_dict': weights}


def choose_prefix(wanted: Iterable[str], weights: Mapping[str, Tensor], source: str, prefix: str | None = None) -> str:
    """Find the prefix under which a checkpoint keeps a network, such as ``'module.encoder_q.'``.

    It is the one that has most of the network's names. Where two have them all, the one whose copy is evaluated by its
    authors is taken (``base_encoder`` before ``momentum_encoder``, ``teacher`` before ``student`` ...).

    Args:
        wanted: Names of the network.
        weights: Of the checkpoint.
        source: What to call it in errors.
        prefix: One that is to be taken, or the end of one (``'base_encoder'``), with or without its last dot; None
            leaves the choice.

    Returns:
        The prefix with its dot. Where no name fits, the one that was asked for.

    Raises:
        UserError: Two prefixes hold the network, and no rule chooses; the config has to.
    """
    ending = f'{prefix.rstrip(".")}.' if prefix else ''
    if prefix == '' or (ending and any(key.startswith(ending) for key in weights)):
        return ending
    wanted = set(wanted)
    counts = count_prefixes(wanted, weights)
    fitting = {found: n for found, n in counts.items() if f'.{found}'.endswith(f'.{ending}')}
    if not fitting:
        return ending
    best = max(fitting.values())
    winners = sorted(found for found, count in fitting.items() if count == best)
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


def count_prefixes(wanted: Iterable[str], weights: Iterable[str]) -> Counter[str]:
    """How many names of a network a checkpoint has under each prefix."""
    wanted = set(wanted)
    return Counter(key[: len(key) - len(name)] for key in weights for name in _endings(key) if name in wanted)


def _named_tensors(node: Any, name: str = '') -> dict[str, Tensor]:
    if isinstance(node, Tensor):
        return {name: node}
    found = {}
    for key, value in node.items() if isinstance(node, Mapping) else ():
        found.update(_named_tensors(value, f'{name}.{key}' if name else str(key)))
    return found


def _endings(key: str) -> list[str]:
    """A name, and what is left of it after each of its dots."""
    parts = key.split('.')
    return ['.'.join(parts[i:]) for i in range(len(parts))]
