"""What a chain will need, checked before its first stage starts."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmimg2vec.chain.commands import Launch, stage_command
from mmimg2vec.chain.plan import Chain, Stage
from mmimg2vec.chain.records import is_finished, read_config, read_record
from mmimg2vec.datasets.checks import check_dataset_config
from mmimg2vec.errors import UserError
from mmimg2vec.utils.paths import find_shipped


def check_chain(chain: Chain, launch: Launch, only: tuple[str, ...] = (), redo: tuple[str, ...] = ()) -> list[str]:
    """Look for everything that any unfinished stage will need.

    Args:
        chain: The chain.
        launch: How stages are started.
        only: Names of the stages that will run; all where empty.
        redo: Names of the stages that will be done again.

    Returns:
        One line per problem: the stages that it concerns, what is missing, and the cure.
    """
    problems: list[str] = []
    found: dict[str, tuple[str, list[str]]] = {}
    if launch.launcher == 'slurm' and not launch.partition:
        problems.append('--launcher slurm needs --partition NAME')
    made: list[Path] = []
    again = chain.with_dependents(redo)
    for stage in chain.select(only):
        if stage.name in again or read_record(chain.folder(stage)) is None:
            for text in _check_stage(stage, made):
                # Loaders and stages that need the same thing are one problem.
                _, stages = found.setdefault(text.split(': ')[0], (text, []))
                stages.append(stage.name)
            made += [chain.folder(stage), *map(Path, stage.makes)]
    for text, stages in found.values():
        names = list(dict.fromkeys(stages))
        problems.append(f'{"stage" if len(names) == 1 else "stages"} {", ".join(names)}: {text}')
    return problems


def try_stages(
    chain: Chain, launch: Launch, only: tuple[str, ...] = (), report: Callable[[str], None] = print
) -> list[str]:
    """Start each unfinished training stage that needs no unfinished one, for one step: ``tools/train.py --check``.

    Args:
        chain: The chain.
        launch: How stages are started.
        only: Names of the stages; all where empty.
        report: Gets the table of each stage, or why it was not tried.

    Returns:
        One line per stage that cannot start.
    """
    problems = []
    finished = {stage.name for stage in chain.stages if is_finished(chain, stage)}
    for stage in chain.select(only):
        waiting = [name for name in stage.needs if name not in finished]
        if stage.name in finished or not stage.config:
            continue
        if waiting:
            report(f'[{stage.name}] not tried: it starts from {", ".join(waiting)}')
            continue
        env, words = stage_command(chain, stage, launch)
        result = subprocess.run([*words, '--check'], env={**os.environ, **env}, capture_output=True, text=True)
        lines = (result.stdout + result.stderr).splitlines()
        if result.returncode:
            errors = [line for line in lines if 'mmimg2vec: error:' in line] or lines[-1:]
            problems.append(f'stage {stage.name}: {errors[-1].partition("error: ")[2] or errors[-1]}')
        else:
            table = [line for line in lines if line[:1] in ' ┏┃┡│└']
            report('\n'.join([f'[{stage.name}]', *table]))
    return problems


def _check_stage(stage: Stage, made: list[Path]) -> list[str]:
    if stage.command:
        return _check_command(stage, made)
    return _check_config(stage, stage.config, made)


def _check_command(stage: Stage, made: list[Path]) -> list[str]:
    """The script of a command, and the configs and checkpoints among its words."""
    script, *words = stage.command
    problems = [] if find_shipped(script).is_file() else [f'no script {script}: correct its command']
    random = '--random' in words  # tools/probe.py takes no checkpoint then
    for word in words:
        word = word.rpartition('=')[2]  # NAME=FILE and --option=FILE
        if word.endswith('.py') and _below(word, made):
            continue  # a run leaves its config
        if word.endswith('.py'):
            problems += _check_config(stage, word, made, checkpoints=not random)
        elif word.endswith('.pth') and not (_below(word, made) or Path(word).is_file()):
            problems.append(f'no checkpoint {word}: train it first, or name another file')
    return problems


def _check_config(stage: Stage, config: str, made: list[Path], checkpoints: bool = True) -> list[str]:
    try:
        cfg = read_config(stage, config)
    except UserError as error:
        return [str(error)]
    for name, loader in cfg.get('knn', {}).items():
        if name.endswith('_dataloader'):
            cfg[f'knn_{name}'] = loader
    problems = []
    for loader in [key for key in cfg if re.fullmatch(r'[a-z]\w*_dataloader', key)]:
        if cfg.get(loader) is not None and not _is_made(cfg, loader, made):
            problems += [_data_cure(text) for text in check_dataset_config(cfg, loader)]
    if not checkpoints:
        return problems
    for path, checkpoint in _checkpoints(cfg._cfg_dict):
        if '://' in checkpoint or _below(checkpoint, made) or Path(checkpoint).is_file():
            continue
        problems.append(f'no checkpoint {checkpoint}: train it first, or name another file ({path} of {config})')
    return problems


def _data_cure(problem: str) -> str:
    # The cure for a single run, --cfg-options, is none for a chain.
    if problem.startswith(('no data folder', 'no annotation file')):
        return (
            f'{problem.split(": ")[0]}: put it there, or name another folder by the environment variable that the '
            'config reads (IMG2VEC_IMAGENET, IMG2VEC_COCO, IMG2VEC_ADE, IMG2VEC_IMAGES)'
        )
    return problem


def _is_made(cfg: Config, loader: str, made: list[Path]) -> bool:
    """Whether the data of a loader are written by a stage before."""
    return any(_below(text, made) for key, text in _strings(cfg[loader]) if key == 'data_root')


def _below(path: str, folders: list[Path]) -> bool:
    whole = Path(path).resolve()
    return any(whole.is_relative_to(folder.resolve()) for folder in folders)


def _checkpoints(node: Any, path: str = '') -> list[tuple[str, str]]:
    """All files of weights that a config names: ``init_cfg`` and ``load_from``."""
    found = []
    if isinstance(node, dict):
        for key, value in node.items():
            here = f'{path}.{key}' if path else str(key)
            if key in ('checkpoint', 'load_from') and isinstance(value, str):
                found.append((here, value))
            else:
                found += _checkpoints(value, here)
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            found += _checkpoints(value, f'{path}[{index}]')
    return found


def _strings(node: Any, key: str = '') -> list[tuple[str, str]]:
    if isinstance(node, str):
        return [(key, node)]
    if isinstance(node, dict):
        return [pair for k, value in node.items() for pair in _strings(value, k)]
    if isinstance(node, list | tuple):
        return [pair for value in node for pair in _strings(value, key)]
    return []
