"""Reading config files, with mistakes in one line."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmimg2vec.errors import UserError
from mmimg2vec.utils.arguments import drop_left_over
from mmimg2vec.utils.paths import find_shipped, shipped_folder
from mmimg2vec.utils.placeholders import put_back, values_as_values


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
        with values_as_values() as words:
            cfg = Config.fromfile(str(path))
        put_back(cfg._cfg_dict, words)
    except Exception as error:  # a config is a program, and may end in anything
        hint = (
            '; where a dict takes the place of another kind of value of a base config, it needs _delete_=True'
            if isinstance(error, TypeError | KeyError | AttributeError)
            else ''
        )
        reason = (str(error).splitlines() or [''])[0]
        raise UserError(f'the config {filename} cannot be read: {type(error).__name__}: {reason}{hint}') from error
    if options:
        notes = unknown_options(cfg, options)
        try:
            notes += fit_schedule(cfg, options)
            notes += drop_left_over(cfg, options)
            cfg.merge_from_dict(options)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            what = error.args[0] if error.args else error
            raise UserError(f'--cfg-options do not fit {filename}: {what}') from error
        for note in notes:
            print(f'mmimg2vec: note: {note}', file=sys.stderr)
    return cfg


def fit_schedule(cfg: Config, options: Mapping[str, Any]) -> list[str]:
    """Let the schedule follow a number of epochs or iterations that the options change alone.

    What ends with training ends with the new number. A warm-up stays as it is in a longer run, as MAE's (arXiv
    2111.06377) is 40 epochs of 800 and of 1600, and keeps its share in a shorter one; drops of the learning rate keep
    their shares (the project's choice). Options for ``param_scheduler`` leave all of it to the user.

    Args:
        cfg: Changed in place; the options are not merged yet.
        options: Dotted key -> value.

    Returns:
        What was done, in one line, or nothing.
    """
    if any(key.split('.')[0] == 'param_scheduler' for key in options):
        return []
    for key, by_epoch in (('max_epochs', True), ('max_iters', False)):
        old, new = (cfg.get('train_cfg') or {}).get(key), options.get(f'train_cfg.{key}')
        if isinstance(old, int) and isinstance(new, int) and 0 < new != old:
            schedulers = cfg.get('param_scheduler') or []
            schedulers = [schedulers] if isinstance(schedulers, dict) else schedulers
            counted = [scheduler for scheduler in schedulers if scheduler.get('by_epoch', True) == by_epoch]
            for scheduler in counted:
                _fit(scheduler, old, new)
            # What is left of a very short run may be one of them.
            empty = [s for s in counted if not s.get('begin', 0) < s.get('end', new)]
            if empty and len(empty) < len(counted):
                counted = [s for s in counted if s not in empty]
                cfg.param_scheduler = [s for s in schedulers if s not in empty]
            if counted:
                ends = ', '.join(f'{s["type"]} {s.get("begin", 0):g} to {s.get("end", new):g}' for s in counted)
                return [f'param_scheduler follows train_cfg.{key}={new}: {ends}']
    return []


def _fit(scheduler: dict[str, Any], old: int, new: int) -> None:
    # Parts of an epoch are possible where the schedule is counted in iterations in the end.
    digits = 4 if scheduler.get('convert_to_iter_based') else 0

    def scaled(position: float) -> float:
        share = round(position * new / old, digits)
        return share if share % 1 else max(1, int(share))

    for key in ('begin', 'end'):
        position = scheduler.get(key, 0)
        if position == old:
            scheduler[key] = new
        elif 0 < position < old and new < old:
            scheduler[key] = scaled(position)
    if 'T_max' in scheduler:
        scheduler['T_max'] = scheduler['T_max'] + new - old
    if 'milestones' in scheduler:
        scheduler['milestones'] = [scaled(drop) for drop in scheduler['milestones']]


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
