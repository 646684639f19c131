"""Reading config files, with mistakes in one line."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmimg2vec.errors import UserError
from mmimg2vec.utils.paths import find_shipped, shipped_folder


def load_config(filename: str, options: dict[str, Any] | None = None) -> Config:
    """Read a config file and merge the options of the command line.

    Args:
        filename: Path of the config; ``configs/...`` is looked for below the current folder, then in the package.
        options: Dotted key -> value.

    Raises:
        UserError: There is no such file (names the nearest ones), it cannot be read, or an option does not fit it.
    """
    path = find_shipped(filename)
    if not path.is_file():
        near = near_configs(filename)
        hint = f'; near: {", ".join(near)}' if near else ''
        raise UserError(f'no config file {filename}{hint}')
    try:
        cfg = Config.fromfile(str(path))
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
            what = error.args[0] if error.args else error
            raise UserError(f'--cfg-options do not fit {filename}: {what}') from error
    return cfg


def near_configs(filename: str, count: int = 3) -> list[str]:
    """Find the config files whose names are nearest to a name.

    Searches ``configs/`` below the current folder, and the configs that came with the package.
    """
    paths: dict[str, Path] = {}
    for root in (shipped_folder('configs'), Path('configs')):  # the same name in the current folder is the one meant
        found = sorted(root.rglob('*.py')) if root.is_dir() else []
        paths |= {path.stem: path for path in found if '_base_' not in path.parts}
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
