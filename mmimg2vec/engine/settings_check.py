"""Settings of a config that cannot work, each in one line with its cure, before anything is built."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from mmimg2vec.errors import UserError
from mmimg2vec.utils.arguments import arguments_of, find_class, near_classes

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_INTERPOLATIONS = ('nearest', 'bilinear', 'bicubic', 'area', 'lanczos', 'box', 'hamming', 'random')
# Numbers of an optimizer, and the least that is allowed.
_NUMBERS = {'lr': 0.0, 'weight_decay': 0.0, 'momentum': 0.0, 'eps': 0.0}
# Keys that those take out who build the parts.
_BUILDERS = {'type', '_scope_', 'priority', 'convert_to_iter_based'}


def check_settings(cfg: Config) -> None:
    """Check what mmengine or torch would refuse with a stack trace, or late.

    Looked at are the dataloaders' numbers, the seed, the loops, optimizer and schedulers, the hooks, and the
    interpolations of the pipelines.

    Args:
        cfg: Config of a run.

    Raises:
        UserError: A setting cannot work.
    """
    seed = (cfg.get('randomness') or {}).get('seed')
    if seed is not None and not (isinstance(seed, int) and 0 <= seed < 2**32):
        raise UserError(f'the seed {seed!r} (--seed, or randomness.seed) has to be an integer from 0 to 2^32 - 1')
    for name in _LOADERS:
        loader = cfg.get(name)
        if isinstance(loader, Mapping):
            _check_count(f'{name}.batch_size', loader.get('batch_size', 1), 1)
            _check_count(f'{name}.num_workers', loader.get('num_workers', 0), 0)
            for where, transform in _transforms(f'{name}.dataset', loader.get('dataset')):
                _check_interpolation(where, transform)
    for key in ('max_epochs', 'max_iters', 'val_interval'):  # a run of no steps would save random weights
        _check_count(f'train_cfg.{key}', (cfg.get('train_cfg') or {}).get(key), 1)
    _check_count('optim_wrapper.accumulative_counts', (cfg.get('optim_wrapper') or {}).get('accumulative_counts'), 1)
    for where, part in _parts(cfg):
        _check_arguments(where, part, cfg.get('default_scope'))
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    for key, least in _NUMBERS.items():
        value = optimizer.get(key, least)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
            cure = ', with a point before its decimals' if isinstance(value, list | tuple) else ''
            raise UserError(f'optim_wrapper.optimizer.{key}={value!r} has to be one number from {least:g} on{cure}')


def _check_count(where: str, value: Any, least: int) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise UserError(f'{where}={value!r} has to be an integer from {least} on')


def _check_interpolation(where: str, transform: Mapping[str, Any]) -> None:
    value = transform.get('interpolation')
    if isinstance(value, str) and value not in _INTERPOLATIONS:
        near = difflib.get_close_matches(value, _INTERPOLATIONS, n=1)
        raise UserError(
            f'{where}.interpolation={value!r} is not known: '
            + (f'"{near[0]}" is meant?' if near else f'choose one of {", ".join(_INTERPOLATIONS)}')
        )


def _check_arguments(where: str, part: Mapping[str, Any], scope: str | None) -> None:
    kind = part['type']
    if isinstance(kind, str) and find_class(kind, scope) is None:
        near = near_classes(kind)
        raise UserError(f'{where}.type={kind!r} is not known' + (f'; near: {", ".join(near)}' if near else ''))
    known = arguments_of(kind, scope)
    if known is None:
        return
    for key in part:
        if key not in known and key not in _BUILDERS:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            name = kind if isinstance(kind, str) else kind.__name__
            raise UserError(f'{where}.{key}: {name} takes no {key}' + (f'; it takes "{near[0]}"' if near else ''))


def _parts(cfg: Config) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Parts whose arguments nobody but their class takes, with their place in the config."""
    places: list[tuple[str, Any]] = [(name, cfg.get(name)) for name in ('train_cfg', 'val_cfg', 'test_cfg')]
    places.append(('optim_wrapper.optimizer', (cfg.get('optim_wrapper') or {}).get('optimizer')))
    places += [(f'default_hooks.{name}', hook) for name, hook in (cfg.get('default_hooks') or {}).items()]
    for name in ('custom_hooks', 'param_scheduler'):
        found = cfg.get(name) or []
        found = [found] if isinstance(found, Mapping) else found
        places += [(f'{name}.{number}', part) for number, part in enumerate(found)]
    for where, part in places:
        if isinstance(part, Mapping) and 'type' in part:
            yield where, part


def _transforms(where: str, node: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(node, Mapping):
        if 'interpolation' in node:
            yield where, node
        for key, value in node.items():
            yield from _transforms(f'{where}.{key}', value)
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from _transforms(f'{where}.{number}', value)
