"""Which arguments the parts of a config take."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from mmengine import registry
from mmengine.config import Config

# Keys that the builders of OpenMMLab and of this project take for themselves.
_BUILDERS = ('type', '_scope_', 'init_cfg', 'priority')
_REGISTRIES = (
    'LOOPS',
    'HOOKS',
    'OPTIMIZERS',
    'OPTIM_WRAPPERS',
    'PARAM_SCHEDULERS',
    'MODELS',
    'DATASETS',
    'TRANSFORMS',
    'METRICS',
)


def arguments_of(kind: Any, scope: str | None = None) -> set[str] | None:
    """Names of the arguments of a registered class and of its parents; None where they are not known.

    Args:
        kind: The class, or its registered name with its scope.
        scope: Scope of a name without one.
    """
    if isinstance(kind, str):
        kind = find_class(kind, scope)
    if not inspect.isclass(kind):
        return None
    names: set[str] = set()
    for base in kind.__mro__[:-1]:
        if '__init__' not in vars(base):
            continue
        parameters = inspect.signature(vars(base)['__init__']).parameters
        names |= set(parameters)
        if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
            return names - {'self'}
    return names - {'self', 'args', 'kwargs'}


def find_class(kind: str, scope: str | None = None) -> Any:
    """What is registered under a name, in whichever registry; None where nothing is."""
    for root in _roots():
        with root.switch_scope_and_registry(scope) as current:
            found = current.get(kind)
        if found is not None:
            return found
    return None


def near_classes(kind: str, count: int = 2) -> list[str]:
    """The registered names that are nearest to one that is not, with their scopes where it has one."""
    scope, _, name = kind.rpartition('.')
    parts = [part for root in _roots() for part in (root, *root.children.values())]
    # Several libraries may have a class of one name: that of the scope is the one meant.
    parts.sort(key=lambda part: part.scope == scope)
    known = {known: f'{part.scope}.{known}' if scope else known for part in parts for known in part.module_dict}
    return [known[each] for each in difflib.get_close_matches(name, known, n=count, cutoff=0.7)]


def _roots() -> list[registry.Registry]:
    return [getattr(registry, name) for name in _REGISTRIES]


def drop_left_over(cfg: Config, options: Mapping[str, Any]) -> list[str]:
    """Take the arguments of the former type out of a dict whose ``type`` the options change.

    Args:
        cfg: Changed in place; the options are not merged yet.
        options: Dotted key -> value.

    Returns:
        What was dropped, a line for each such dict.
    """
    notes = []
    for option, kind in options.items():
        where, _, last = option.rpartition('.')
        node = _node(cfg._cfg_dict, where)
        if last != 'type' or not isinstance(node, dict) or node.get('type', kind) == kind:
            continue
        known = arguments_of(kind, cfg.get('default_scope'))
        if known is None:
            continue
        left = [key for key in node if key not in _BUILDERS and key not in known and f'{where}.{key}' not in options]
        for key in left:
            node.pop(key)
        if left:
            notes.append(f'{where} is a {kind} now, which takes no {", ".join(left)}: left out')
    return notes


def _node(node: Any, where: str) -> Any:
    for part in where.split('.') if where else ():
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict):
            node = node.get(part)
        else:
            return None
    return node
