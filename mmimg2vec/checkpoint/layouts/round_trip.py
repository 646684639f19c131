"""What a converted checkpoint carries for the way back: all that the other side has no use for.

It stands under one key, :data:`CARRIED`, where nothing takes it up by mistake: the optimizer's state, say, knows the
parameters by their order, which is another one there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Where a converted file keeps it.
CARRIED = 'carried'


def pack(
    source: str,
    checkpoint: Mapping[str, Any],
    wrapper: str | None,
    names: list[str],
    unused: Mapping[str, Any],
    rest: Mapping[str, Any],
) -> dict[str, Any]:
    """Note what :func:`unpack` needs.

    Args:
        source: Whose names the checkpoint has that is converted.
        checkpoint: That checkpoint.
        wrapper: Its key of the weights; None where they are not wrapped.
        names: Names of its weights, in their order.
        unused: Those that have no place on the other side.
        rest: Entries beside the weights.
    """
    return {
        'from': source,
        'wrapper': wrapper,
        'order': list(checkpoint),
        'names': names,
        'unused': dict(unused),
        'rest': dict(rest),
    }


def unpack(carried: Mapping[str, Any], weights: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Make the checkpoint that was converted before again.

    Args:
        carried: What :func:`pack` noted.
        weights: The weights, under their first names; those that were not used come from ``carried``.
        new: Entries that the file has got beside the weights since.
    """
    weights = in_order({**carried['unused'], **weights}, carried['names'])
    rest = {**carried['rest'], **new}
    wrapper = carried['wrapper']
    whole = {**weights, **rest} if wrapper is None else {wrapper: weights, **rest}
    return in_order(whole, carried['order'])


def in_order(entries: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """The entries of a dict in the order of ``names``, then those that are not among them."""
    known = [name for name in names if name in entries]
    return {name: entries[name] for name in dict.fromkeys((*known, *entries))}
