"""What the scripts in ``tools/`` share: their arguments, building the runner, ending with a readable mistake."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS

from mmimg2vec.engine.backbone_settings import take_backbone_settings, take_released_backbone
from mmimg2vec.engine.console import ConsoleFlexibleRunner, ConsoleRunner
from mmimg2vec.engine.construction_errors import construction_error, keep_trace
from mmimg2vec.engine.launch import LAUNCHERS
from mmimg2vec.engine.own_data import take_own_data
from mmimg2vec.engine.settings_check import check_settings
from mmimg2vec.environment import require
from mmimg2vec.errors import UserError
from mmimg2vec.utils.placeholders import variable_of

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


# A disk that is full, over its quota or not to be written: nobody's mistake in the code, wherever a file is written.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


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
    """Write a value so that ``--cfg-options`` reads it as it is.

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
        opening, closing = '[]' if isinstance(value, list) else '()'
        return opening + ','.join(map(_bracketed, value)) + closing
    return str(value)


def _kinds(value: Any) -> Any:
    """A value with the types of its parts: 1, 1.0 and True are equal."""
    if isinstance(value, list | tuple):
        return type(value), [_kinds(item) for item in value]
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
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='what started this process')
    # torch.distributed.launch (mim uses it) passes the option, torchrun sets the variable.
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)


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
        UserError: A setting cannot work, a visualization backend needs a package that is missing, or the file that a
            backbone starts from, or the data of a template, do not say what the config leaves to them.
    """
    check_settings(cfg)
    take_own_data(cfg)
    take_released_backbone(cfg)
    take_backbone_settings(cfg)
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
    runners: dict[str, Any] = {'Runner': ConsoleRunner, 'FlexibleRunner': ConsoleFlexibleRunner}
    kind = cfg.get('runner_type', 'Runner')
    return runners[kind].from_cfg(cfg) if kind in runners else RUNNERS.build(cfg)


def silence_mmengine() -> None:
    """Let mmengine's current logger print errors alone, in scripts that have their own lines for the terminal."""
    MMLogger.get_instance(f'quiet-{time.time_ns()}', logger_name='quiet', log_level='ERROR')


def run(main: Callable[[], None]) -> None:
    """Run a script's main function; a mistake of the user's, or a full disk, ends in its line alone and exit status 2.

    So does what the constructor of a part of the config raises; its trace goes into the log file.

    Raises:
        UserError: Never; it is printed.
        OSError: Of another kind than a full disk.
        SystemExit: With status 2, where there was a mistake.
    """
    try:
        try:
            main()
        except Exception as error:
            line = None if isinstance(error, UserError) else construction_error(error)
            if line is None:
                raise
            raise UserError(f'{line}; the trace is in {keep_trace(error)}') from error
    except UserError as error:
        sys.stdout.flush()  # where both go to one file, the mistake is its last line
        name = variable_of(str(error))
        if name is not None and name not in str(error):
            error.args = (f'{error} (the environment variable {name} sets it)',)
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(2)
    except OSError as error:
        if error.errno not in _DISK:
            raise
        sys.stdout.flush()
        print(f'mmimg2vec: error: {error}: make room there, or name another folder', file=sys.stderr)
        sys.exit(2)
