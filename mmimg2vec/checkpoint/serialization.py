"""Turning a checkpoint into tensors and plain containers, and back.

mmengine puts its log histories (``HistoryBuffer`` objects with numpy arrays), numpy numbers of the schedulers and
whatever the message hub holds into its checkpoints; none of that can be loaded without executing code.
"""

from __future__ import annotations

import copy
import logging
from collections import OrderedDict, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, print_log

_PLAIN = (str, int, float, bool, type(None), torch.Tensor, torch.Size, torch.dtype)
# Marks a rewritten HistoryBuffer.
_HISTORY = 'history_buffer'


def to_serializable(value: Any, path: str = 'checkpoint') -> Any:
    """Copy nested containers, everything in them being a tensor, a number, a string or a container again.

    Numpy numbers become Python's, numpy arrays tensors, sets and deques lists, paths and devices strings, mmengine's
    ``HistoryBuffer`` a dict of two tensors. An entry of a dict that has no plain form is left out, with a warning.

    Args:
        value: What to rewrite; containers are copied, tensors are not.
        path: Where it stands, for the warning.

    Raises:
        TypeError: There is no plain form, and no dict to leave it out of.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, HistoryBuffer):
        values, counts = value.data
        return {
            _HISTORY: True,
            'values': torch.from_numpy(np.array(values)),
            'counts': torch.from_numpy(np.array(counts)),
            'max_length': value.max_length,
        }
    if isinstance(value, np.ndarray) and value.dtype.kind in 'biufc':
        return torch.from_numpy(np.array(value))
    if type(value) in _PLAIN or isinstance(value, torch.Tensor):
        return value
    if isinstance(value, (str, int, float)):  # subclasses, such as enumerations
        return next(kind(value) for kind in (str, int, float) if isinstance(value, kind))
    if isinstance(value, (Path, torch.device)):
        return str(value)
    if isinstance(value, Mapping):
        return _plain_mapping(value, path)
    if isinstance(value, (list, tuple, set, frozenset, deque, range)):
        items = [to_serializable(item, f'{path}[{index}]') for index, item in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    raise TypeError(f'{path} of type {type(value).__name__} has no plain form')


def from_serializable(value: Any) -> Any:
    """Rebuild the ``HistoryBuffer`` objects in what :func:`to_serializable` returned; the rest stays plain."""
    if isinstance(value, dict):
        if value.get(_HISTORY) is True:
            return HistoryBuffer(value['values'].cpu().numpy(), value['counts'].cpu().numpy(), value['max_length'])
        rebuilt = copy.copy(value)  # with the attributes of a state dict
        rebuilt.update((key, from_serializable(item)) for key, item in value.items())
        return rebuilt
    return value


def _plain_mapping(value: Mapping, path: str) -> dict:
    plain: Any = OrderedDict() if isinstance(value, OrderedDict) else {}
    for key, item in value.items():
        try:
            plain[to_serializable(key)] = to_serializable(item, f'{path}[{key!r}]')
        except TypeError as error:
            print_log(f'{error}: it is left out of the checkpoint', 'current', logging.WARNING)
    # Module.state_dict() keeps the versions of the modules in this attribute.
    if hasattr(value, '_metadata'):
        plain._metadata = to_serializable(value._metadata, f'{path}._metadata')
    return plain
