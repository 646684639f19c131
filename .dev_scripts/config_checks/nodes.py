"""Nested configs: the value at a path, all dicts, and what is asked of them most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def get(cfg: Any, path: str, default: Any = None) -> Any:
    """Value at a dotted path of nested dicts, or ``default`` where a part is missing."""
    for key in path.split('.'):
        if not isinstance(cfg, dict) or key not in cfg:
            return default
        cfg = cfg[key]
    return cfg


def walk(node: Any, path: str = '') -> Iterator[tuple[str, dict]]:
    """All dicts of a nested config, with their dotted paths."""
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from walk(value, f'{path}.{key}' if path else str(key))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from walk(value, f'{path}[{index}]')


def stripped(kind: Any) -> str:
    """A type without its scope."""
    return str(kind).split('.')[-1]


def train_dataset(cfg: Any) -> dict:
    """Config of the innermost training dataset."""
    dataset = get(cfg, 'train_dataloader.dataset') or {}
    while isinstance(dataset.get('dataset'), dict):
        dataset = dataset['dataset']
    return dataset
