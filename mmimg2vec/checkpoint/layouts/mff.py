"""Checkpoints of mmpretrain's MFF and MAE, and ours.

The networks are the same; what differs is where the fusion stands: mmpretrain keeps it inside the backbone
(``backbone.proj_layers``, ``backbone.proj_weights``), here it is a part of its own (``fusion.``), so that the backbone
stays a plain vision transformer. All other names agree (encoder, decoder, both position tables), so MAE has the same
names in both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from torch import Tensor

from mmimg2vec.checkpoint.layouts.base import Layout
from mmimg2vec.checkpoint.layouts.round_trip import CARRIED, in_order
from mmimg2vec.errors import UserError

Names = Literal['mmimg2vec', 'mmpretrain']

_PATCHES = 'backbone.patch_embed.projection.weight'


def to_mmimg2vec(state: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the entries of a ``mmpretrain.MFF``; all others, and their order, stay.

    Raises:
        UserError: It holds a fusion under both names.
    """
    return _rename(state, r'backbone\.(?=proj_(?:layers|weights)\b)', 'fusion.')


def to_mmpretrain(state: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the entries of an ``mmimg2vec.MFF``; the inverse of :func:`to_mmimg2vec`."""
    return _rename(state, r'fusion\.(?=proj_(?:layers|weights)\b)', 'backbone.')


_RENAMERS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    'mmimg2vec': to_mmimg2vec,
    'mmpretrain': to_mmpretrain,
}


def convert_checkpoint(checkpoint: Mapping[str, Any], to: Names) -> dict[str, Any]:
    """Convert a checkpoint, or bare weights, to the names ``to``; tensors are not copied.

    ``state_dict`` is renamed, and keys that neither side knows stay in it as they are; ``meta`` stays; everything else
    (optimizer, schedules, log) goes under ``carried``, where nothing takes it up, and comes back on the way back.

    Raises:
        UserError: There is no backbone of a vision transformer in it, or two fusions.
    """
    rename = _RENAMERS[to]
    state = checkpoint.get('state_dict', checkpoint)
    if not isinstance(state, Mapping) or not isinstance(state.get(_PATCHES), Tensor):
        raise UserError(
            f'the checkpoint is neither an MFF nor an MAE: it has no {_PATCHES}; name a checkpoint of '
            'mmpretrain.MFF, mmpretrain.MAE or mmimg2vec.MFF'
        )
    renamed: Any = rename(state)
    if 'state_dict' not in checkpoint:
        return renamed
    if hasattr(state, '_metadata'):  # versions of the modules, by their names
        kind: Any = type(state)
        renamed = kind(renamed)
        renamed._metadata = rename(state._metadata)
    whole = {**checkpoint, 'state_dict': renamed}
    carried = whole.pop(CARRIED, {})
    if carried.get('from') == to:
        return in_order({**carried['entries'], **whole}, carried['order'])
    entries = {key: whole.pop(key) for key in list(whole) if key not in ('meta', 'state_dict')}
    if entries:
        carried = {
            'from': next(name for name in _RENAMERS if name != to),
            'entries': {**carried.get('entries', {}), **entries},
            'order': carried.get('order', list(checkpoint)),
        }
    return {**whole, CARRIED: carried} if carried else whole


def _rename(state: Mapping[str, Any], pattern: str, replacement: str) -> dict[str, Any]:
    names = {key: re.sub(f'^{pattern}', replacement, key) for key in state}
    twice = [new for old, new in names.items() if new != old and new in state]
    if twice:
        raise UserError(f'the checkpoint holds the fusion under two names, {twice[0]} being one: remove one of the two')
    return {names[key]: value for key, value in state.items()}


MFF = Layout('mff', to_ours=to_mmimg2vec, to_theirs=to_mmpretrain, whose='mmpretrain', convert=convert_checkpoint)
