"""Whether every ``type`` of a config exists, and carries its scope where it could be another scope's."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from mmengine import registry as root
from mmengine.registry import Registry
from mmengine.utils import get_object_from_string

from config_checks.nodes import walk


@cache
def names_by_scope(scope: str | None = None) -> dict[str, dict[str, Any]]:
    """Registered names of each scope at hand, mmengine's and those of its children, and what they stand for.

    Args:
        scope: A scope whose package is imported first, and whose registries all count, children or not (mmpretrain's
            batch augmentations are none).
    """
    own = vars(import_module(f'{scope}.registry')) if scope else {}
    names: dict[str, dict[str, Any]] = {}
    for registry in [*vars(root).values(), *own.values()]:
        if isinstance(registry, Registry):
            for member in (registry, *registry.children.values()):
                member.import_from_location()
                names.setdefault(member.scope, {}).update(member.module_dict)
    return names


@cache
def _operators() -> frozenset[str]:
    """What mmdet takes from ``mmcv.ops`` by its bare name: ``nms``, ``RoIAlign``."""
    from mmcv import ops

    return frozenset(vars(ops))


def check_types(cfg: Any, scope: str | None = None) -> list[str]:
    """Problems of all ``type`` entries of a config.

    A name with a scope in front has to exist there, or in mmengine, where registries look next. A name without one
    has to be of the config's own scope, or to mean the same in every scope, so that it has to be mmengine's.
    Pre-training configs have no scope of their own here: their parts are built in others too, as backbones and hooks.
    """
    problems = []
    scopes = names_by_scope(scope)
    own = scopes.get(scope or '', {})
    for path, node in walk(cfg):
        kind = node.get('type')
        if not isinstance(kind, str):
            continue
        prefix, _, name = kind.partition('.')
        if not name:
            if kind in own or (scope and kind in scopes['mmengine']) or kind in _operators():
                continue
            here = scopes['mmengine'].get(kind)
            # mmpretrain lists some parts of mmcv as its own too: no matter which of the two names is meant.
            others = sorted(s for s, names in scopes.items() if names.get(kind, here) is not here)
            if others and here is None:
                problems.append(f"{path}: type='{kind}' lacks its scope; {others[0]}.{kind}?")
            elif others:
                problems.append(f"{path}: type='{kind}' is mmengine's and {others[0]}'s; say which")
            elif here is None:
                problems.append(f"{path}: type='{kind}' does not exist")
        elif prefix in scopes and (name in scopes[prefix] or name in scopes['mmengine']):
            continue  # what a scope lacks is looked up in mmengine, where mmcv's parts are
        elif get_object_from_string(kind) is None:
            problems.append(f"{path}: type='{kind}' does not exist")
    return problems
