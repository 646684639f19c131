"""Reading the config text that a checkpoint carries, without executing it.

mmengine's ``Config.fromstring`` runs the text as Python, so that a checkpoint from elsewhere could run anything.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any


def read_config_text(text: str) -> dict[str, Any]:
    """Read the top-level assignments of a dumped config.

    Args:
        text: What mmengine's ``Config.pretty_text`` returned: assignments of ``dict(...)`` calls and literals.

    Returns:
        Name -> value. What is no literal stays its source text; nothing is called but ``dict``. Empty where the text
        is not Python.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return {}
    return {
        node.targets[0].id: _value(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def checkpoint_config(checkpoint: Any) -> dict[str, Any]:
    """Read the config that the ``meta`` of a checkpoint carries; empty where it has none.

    Args:
        checkpoint: What the file holds.
    """
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    # `config`: of BackboneExportHook, renamed where mmengine could execute it; `cfg`: of mmengine's checkpoints.
    text = next((meta[key] for key in ('config', 'config_text', 'cfg') if meta.get(key)), None)
    return read_config_text(text) if isinstance(text, str) else {}


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        # mmengine writes keys that are no names as dict({'a.b': 1}).
        given = [_value(argument) for argument in node.args if isinstance(argument, ast.Dict)]
        named = {keyword.arg: _value(keyword.value) for keyword in node.keywords}
        return {**(given[0] if given else {}), **named}
    if isinstance(node, ast.Dict):
        return {
            ast.literal_eval(key): _value(value)
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant)
        }
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_value(item) for item in node.elts]
        return tuple(items) if isinstance(node, ast.Tuple) else items
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)
