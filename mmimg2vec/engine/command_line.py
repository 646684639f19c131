"""What the scripts in ``tools/`` share: reading a config with readable mistakes, building its runner."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmimg2vec.engine.launch import LAUNCHERS
from mmimg2vec.environment import require
from mmimg2vec.errors import UserError

# What mmengine's backends import when they start.
BACKEND_PACKAGES = {
    'TensorboardVisBackend': 'tensorboard',
    'WandbVisBackend': 'wandb',
    'MLflowVisBackend': 'mlflow',
    'ClearMLVisBackend': 'clearml',
    'NeptuneVisBackend': 'neptune',
    'DVCLiveVisBackend': 'dvclive',
    'AimVisBackend': 'aim',
}


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
                raise UserError(
                    f'--cfg-options takes KEY=VALUE pairs, without spaces around "=", but got "{pair}"'
                )
        try:
            super().__call__(parser, namespace, values, option_string)
        except (AssertionError, ValueError, IndexError) as error:
            raise UserError(
                f'--cfg-options {" ".join(values)} cannot be parsed: {error}'
            ) from error


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


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that training and testing share."""
    parser.add_argument('--work-dir', help='folder of logs and results; work_dirs/CONFIG-NAME')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Options,
        metavar='KEY=VALUE',
        help='change settings of the config: model.head.share=0.5 train_dataloader.batch_size=64 key="[a,b]"',
    )
    parser.add_argument(
        '--launcher', choices=LAUNCHERS, default='none', help='what started this process'
    )
    # torch.distributed.launch (mim uses it) passes the option, torchrun sets the variable.
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)


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
        raise UserError(
            f'the config {filename} cannot be read: {type(error).__name__}: {reason}{hint}'
        ) from error
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
                    notes.append(
                        f'--cfg-options adds {option}, which the config does not have; it has "{near[0]}"'
                    )
                break
            node = node[part]
    return notes


def set_work_dir(cfg: Config, work_dir: str | None) -> None:
    """Set the folder of a run: the command line's, else the config's, else ``work_dirs/CONFIG-NAME``."""
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('work_dirs', Path(cfg.filename).stem)


def set_dataloader_defaults(cfg: Config) -> None:
    """Give the dataloaders of an mmpretrain config the defaults of mmpretrain's own training script.

    mmpretrain's configs leave ``collate_fn`` to that script. Those of mmdet and mmseg must not get it: they collate
    images of several sizes.
    """
    if cfg.get('default_scope') != 'mmpretrain':
        return
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if loader is not None:
            loader.setdefault('pin_memory', True)
            loader.setdefault('persistent_workers', loader.get('num_workers', 0) > 0)
            loader.setdefault('collate_fn', {'type': 'default_collate'})


def build_runner(cfg: Config) -> Any:
    """Build the runner that a config asks for: mmengine's Runner, or FlexibleRunner for FSDP and its like.

    Raises:
        UserError: A visualization backend needs a package that is missing.
    """
    for backend in (cfg.get('visualizer') or {}).get('vis_backends') or []:
        kind = backend['type'].split('.')[-1]
        if kind in BACKEND_PACKAGES:
            require(BACKEND_PACKAGES[kind], f'{kind} of visualizer.vis_backends')
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if loader and loader.get('num_workers') == 0:
            loader.persistent_workers = False  # torch refuses to keep what is not there
    if 'runner_type' not in cfg and 'strategy' in cfg:
        cfg.runner_type = 'FlexibleRunner'
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def hush() -> None:
    """Let mmengine's current logger print errors alone, in scripts that have their own lines for the terminal."""
    MMLogger.get_instance(f'quiet-{time.time_ns()}', logger_name='quiet', log_level='ERROR')


def run(main: Callable[[], None]) -> None:
    """Run a script's main function; a mistake of the user's ends in its line alone and exit status 2."""
    try:
        main()
    except UserError as error:
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(2)
