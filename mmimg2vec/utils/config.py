"""Reading configs and options of the command line, with mistakes in one line."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from mmimg2vec.errors import UserError


class Options(DictAction):
    """``--cfg-options KEY=VALUE ...`` whose mistakes are one line."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option_string: str | None = None,
    ) -> None:
        """Parse the pairs.

        Raises:
            UserError: One of them is no ``KEY=VALUE``, or its value cannot be parsed.
        """
        for pair in values:
            if not pair.partition('=')[0] or '=' not in pair:
                raise UserError(f'--cfg-options takes KEY=VALUE pairs, without spaces around "=", but got "{pair}"')
        try:
            super().__call__(parser, namespace, values, option_string)
        except (AssertionError, ValueError, IndexError) as error:
            raise UserError(f'--cfg-options {" ".join(values)} cannot be parsed: {error}') from error


def option_text(value: Any) -> str:
    """Write a value so that ``--cfg-options`` reads it as it is; a tuple becomes a list.

    Raises:
        UserError: There is no such way: quotes do not keep a text from being read as a number or a list.
    """
    text = _bracketed(value)
    try:
        read = DictAction._parse_iterable(text)
    except (AssertionError, ValueError, IndexError):
        read = 'nothing'
    if _kinds(read) != _kinds(value):
        raise UserError(
            f'--cfg-options would read {value!r} as {read!r}: write it into a config, with this one as its _base_'
        )
    return text


def _bracketed(value: Any) -> str:
    if isinstance(value, list | tuple):
        return '[' + ','.join(map(_bracketed, value)) + ']'
    return str(value)


def _kinds(value: Any) -> Any:
    """A value with the types of its parts: 1, 1.0 and True are equal."""
    if isinstance(value, list | tuple):
        return [_kinds(item) for item in value]
    return type(value), value


def load_config(filename: str, options: dict[str, Any] | None = None) -> Config:
    """Read a config file and merge the options of the command line.

    Args:
        filename: Path of the config.
        options: Dotted key -> value.

    Raises:
        UserError: There is no such file (names the nearest ones), it cannot be read, or an option does not fit it.
    """
    if not os.path.isfile(filename):
        near = near_configs(filename)
        hint = f'; near: {", ".join(near)}' if near else ''
        raise UserError(f'no config file {filename}{hint}')
    try:
        cfg = Config.fromfile(filename)
    except Exception as error:  # a config is a program, and may end in anything
        hint = (
            '; where a dict takes the place of another kind of value of a base config, it needs _delete_=True'
            if isinstance(error, TypeError | KeyError | AttributeError)
            else ''
        )
        reason = (str(error).splitlines() or [''])[0]
        raise UserError(f'the config {filename} cannot be read: {type(error).__name__}: {reason}{hint}') from error
    if options:
        for note in unknown_options(cfg, options):
            print(f'mmimg2vec: note: {note}', file=sys.stderr)
        try:
            cfg.merge_from_dict(options)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            reason = error.args[0] if error.args else error
            raise UserError(f'--cfg-options do not fit {filename}: {reason}') from error
    return cfg


def near_configs(filename: str, count: int = 3) -> list[str]:
    """Find the config files whose names are nearest to a name.

    Searches ``configs/`` below the current folder, and the configs that came with the package.
    """
    package = Path(__file__).resolve().parents[1]
    for root in (Path('configs'), package.parent / 'configs', package / '.mim' / 'configs'):
        if root.is_dir():
            break
    else:
        return []
    paths = {path.stem: path for path in sorted(root.rglob('*.py')) if '_base_' not in path.parts}
    stems = difflib.get_close_matches(Path(filename).stem, paths, n=count, cutoff=0.5)
    return [str(paths[stem]) for stem in stems]


def unknown_options(cfg: Config, options: dict[str, Any]) -> list[str]:
    """Name the options whose key the config lacks while it has a similar one, as a typing mistake would give."""
    notes = []
    for option in options:
        node: Any = cfg._cfg_dict
        for part in option.split('.'):
            if not isinstance(node, dict):
                break
            if part not in node:
                near = difflib.get_close_matches(part, list(node), n=1, cutoff=0.8)
                if near:
                    notes.append(f'--cfg-options adds {option}, which the config does not have; it has "{near[0]}"')
                break
            node = node[part]
    return notes
