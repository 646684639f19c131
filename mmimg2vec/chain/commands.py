"""The commands of a chain: what is started for each stage, as one could type it."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmimg2vec.chain.plan import Chain, Stage
from mmimg2vec.engine.command_line import Options, option_text
from mmimg2vec.utils.paths import find_shipped, shipped_folder

LAUNCHERS = ('none', 'pytorch', 'slurm')


@dataclass(frozen=True)
class Launch:
    """How stages are started.

    Attributes:
        launcher: ``'none'``, ``'pytorch'`` (torchrun) or ``'slurm'``.
        gpus: Processes of every stage in place of those that the chain names, or None.
        partition: Slurm partition.
    """

    launcher: str = 'none'
    gpus: int | None = None
    partition: str = ''


def add_launch_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the scripts that run chains: which stages, started by what, changes of the chain config."""
    parser.add_argument('--only', nargs='+', default=[], metavar='STAGE', help='run these stages alone')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='what starts a stage')
    parser.add_argument('--gpus', type=int, help="processes of each stage in place of the chain config's")
    parser.add_argument('--partition', default='', help='Slurm partition')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Options,
        metavar='KEY=VALUE',
        help='change settings of the chain config, such as jobs=1',
    )


def summary_command(chain: Chain, out: Path) -> list[str]:
    """Words of the command that sums up a chain over its seeds; empty where it has none.

    Args:
        chain: Of one of the seeds.
        out: Folder of all seeds.
    """
    words = [word.replace('{out}', str(out)) for word in chain.summary]
    return _script_command(words) if words else []


def _script_command(words: Sequence[str]) -> list[str]:
    return [_python(), _relative(find_shipped(words[0])), *words[1:]]


def stage_command(chain: Chain, stage: Stage, launch: Launch) -> tuple[dict[str, str], list[str]]:
    """Environment variables and words of the command of a stage.

    Training resumes by itself where the stage was interrupted. Commands other than training are one process: with
    Slurm, one on a node with a GPU.
    """
    env, tools = dict(stage.env), shipped_folder('tools')
    if stage.command:
        words = _script_command(stage.command)
        if launch.launcher == 'slurm':
            job = ['--job-name', f'{chain.name}-{stage.name}', '--gres=gpu:1', '--ntasks=1']
            words = ['srun', '--partition', launch.partition, *job, '--kill-on-bad-exit=1', *words]
        return env, words
    folder = str(chain.folder(stage))
    common = ['--resume', '--seed', str(chain.seed)]
    if stage.options:
        common += ['--cfg-options', *(f'{k}={option_text(v)}' for k, v in stage.options.items())]
    gpus = launch.gpus or stage.gpus
    if launch.launcher == 'pytorch':
        script = _relative(tools / 'dist_train.sh')
        words = ['bash', script, stage.config, str(gpus), '--work-dir', folder, *common]
        env['PYTHON'] = _python()
    elif launch.launcher == 'slurm':
        script = _relative(tools / 'slurm_train.sh')
        words = ['bash', script, launch.partition, f'{chain.name}-{stage.name}', stage.config, folder, *common]
        env.update(GPUS=str(gpus), PYTHON=_python())
    else:
        words = [_python(), _relative(tools / 'train.py'), stage.config, '--work-dir', folder, *common]
    return env, words


def shell_line(env: dict[str, str], words: list[str]) -> str:
    """A command in one line, to be pasted into a shell."""
    assignments = [f'{key}={shlex.quote(value)}' for key, value in env.items()]
    return ' '.join([*assignments, *(shlex.quote(word) for word in words)])


def _python() -> str:
    return _relative(Path(sys.executable))


def _relative(path: Path) -> str:
    relative = os.path.relpath(path)
    return relative if not relative.startswith('..') else str(path)
