"""Reading chain configs.

A chain config is an ordinary mmengine config of plain values::

    title = 'Img2Vec ViT-B: from ImageNet to COCO and ADE20K'
    work_dir = 'work_dirs/chain/img2vec_vit-base'
    stages = [
        dict(name='pretrain', config='configs/img2vec/....py', gpus=8),
        dict(name='detect', config='configs/img2vec/benchmarks/detection/....py', gpus=8,
             env=dict(IMG2VEC_BACKBONE='{pretrain}/backbone.pth')),
        dict(name='detect-scratch', config='configs/...py', options={'model.backbone.init_cfg': None},
             baseline_of='detect'),
    ]

``{pretrain}`` stands for the folder of that stage, and naming it makes the stage wait for it; ``{seed}`` for the seed.
Values of ``env``, ``options``, ``command`` and ``makes`` may name them. ``jobs`` stages run at the same time. Stages
that are compared with one another rather than with one of their own from scratch are named in ``differences``, pairs
of stages: the report then has one line per stage, and one per pair. ``configs/...`` and ``tools/...`` are looked for
below the current folder, then in the installed package. Nothing is put into a config behind its back: a stage is the
command that ``--dry-run`` prints.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmimg2vec.chain.plan import Chain, Stage
from mmimg2vec.engine.command_line import option_text
from mmimg2vec.errors import UserError
from mmimg2vec.utils.config import load_config

_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.-]*')
_PLACEHOLDER = re.compile(r'\{([^{}]*)\}')


def read_chain(
    filename: str,
    work_dir: str | None = None,
    seed: int | None = None,
    options: dict[str, Any] | None = None,
) -> Chain:
    """Read a chain config.

    Args:
        filename: Path of the chain config.
        work_dir: Folder in place of the config's.
        seed: Seed in place of the config's.
        options: Dotted key -> value that changes the chain config itself.

    Raises:
        UserError: The file or one of its stages is not as it should be.
    """
    cfg = load_config(filename, options)
    if not isinstance(cfg.get('stages'), list | tuple) or not cfg.stages:
        raise UserError(f'{filename} is no chain config: it lists no `stages`')
    name = Path(filename).stem
    folder = Path(work_dir or cfg.get('work_dir') or f'work_dirs/chain/{name}')
    seed = cfg.get('seed', 0) if seed is None else seed
    jobs = cfg.get('jobs', 1)
    if not isinstance(jobs, int) or jobs < 1:
        raise UserError(f'{filename}: jobs={jobs!r} should be a number of stages, 1 or more')
    stages: list[Stage] = []
    for entry in cfg.stages:
        stages.append(_read_stage(filename, entry, cfg, folder, seed, stages))
    _check_baselines(filename, stages)
    return Chain(
        name=name,
        title=cfg.get('title', name),
        introduction=cfg.get('introduction', ''),
        work_dir=folder,
        seed=seed,
        stages=tuple(stages),
        jobs=jobs,
        differences=_read_differences(filename, cfg.get('differences', ()), stages),
        summary=tuple(shlex.split(cfg.get('summary', ''))),
    )


#: Key of a stage -> what its value may be.
_TYPES: dict[str, tuple[type, ...]] = {
    'name': (str,),
    'title': (str,),
    'config': (str,),
    'command': (str, list, tuple),
    'env': (dict,),
    'options': (dict,),
    'gpus': (int,),
    'needs': (str, list, tuple),
    'baseline_of': (str, list, tuple),
    'makes': (list, tuple),
}


def _read_stage(filename: str, entry: Any, cfg: Config, folder: Path, seed: int, earlier: list[Stage]) -> Stage:
    name = entry.get('name', '') if isinstance(entry, dict) else ''
    where = f'{filename}: stage "{name}"'
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(f'{where}: every stage needs a name of letters, digits, "-", "_" and "." (its folder)')
    unknown = set(entry) - set(_TYPES)
    if unknown:
        raise UserError(f'{where}: unknown key "{sorted(unknown)[0]}"; a stage has: {", ".join(sorted(_TYPES))}')
    if (entry.get('config') is None) == (entry.get('command') is None):
        raise UserError(f'{where}: give it a config to train, or a command, and not both')
    names = [stage.name for stage in earlier]
    if name in names:
        raise UserError(f'{where}: there are two stages of this name')
    _check_types(where, entry)
    needs = _names(entry.get('needs', ()))

    def fill(value: Any) -> Any:
        """Put folders in the place of ``{stage}``, the seed in that of ``{seed}``, and note the stages as needed."""
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(fill(item) for item in value)
        if not isinstance(value, str):
            return value
        value = value.replace('{seed}', str(seed))
        needs.extend(other for other in _PLACEHOLDER.findall(value) if other != name)
        return _PLACEHOLDER.sub(lambda match: str(folder / match[1]), value)

    command = entry.get('command')
    if isinstance(command, str):
        try:
            command = shlex.split(command)
        except ValueError as error:
            raise UserError(f'{where}: its command cannot be read: {error}') from None
    if command is not None and not command:
        raise UserError(f'{where}: its command is empty')
    stage = Stage(
        name=name,
        title=entry.get('title', name),
        config=entry.get('config') or '',
        command=tuple(fill(command or ())),
        env={key: str(value) for key, value in fill({**cfg.get('env', {}), **entry.get('env', {})}).items()},
        # The seed alone is a number there, for options that take one.
        options={key: seed if value == '{seed}' else fill(value) for key, value in entry.get('options', {}).items()},
        gpus=entry.get('gpus', cfg.get('gpus', 1)),
        needs=tuple(dict.fromkeys(needs)),
        baseline_of=tuple(_names(entry.get('baseline_of', ()))),
        makes=tuple(fill(entry.get('makes', ()))),
    )
    for key, value in stage.options.items():
        try:
            option_text(value)
        except UserError as error:
            raise UserError(f'{where}: options["{key}"]: {error}') from None
    for other in stage.needs:
        if other not in names:
            raise UserError(
                f'{where} needs "{other}", which is no stage before it; before it stand: {", ".join(names) or "none"}'
            )
    return stage


def _check_types(where: str, entry: dict) -> None:
    for key, kinds in _TYPES.items():
        value = entry.get(key)
        if value is not None and not isinstance(value, kinds):
            names = ' or '.join(kind.__name__ for kind in kinds)
            raise UserError(f'{where}: {key}={value!r} should be of type {names}')
    if entry.get('gpus', 1) < 1:
        raise UserError(f'{where}: gpus={entry["gpus"]} should be 1 or more')
    for key, value in entry.get('options', {}).items():
        if isinstance(value, dict):
            raise UserError(
                f'{where}: options take dotted keys, such as "{key}.{next(iter(value), "key")}", and no dicts'
            )


def _names(value: str | list | tuple) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _read_differences(filename: str, pairs: Any, stages: list[Stage]) -> tuple[tuple[str, str], ...]:
    names = [stage.name for stage in stages]
    if pairs and any(stage.baseline_of for stage in stages):
        raise UserError(f'{filename}: differences take the place of baseline_of: name the pairs there alone')
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise UserError(f'{filename}: differences={pair!r} should be pairs of names of stages')
        for name in pair:
            if name not in names:
                raise UserError(f'{filename}: differences name "{name}", which is no stage')
    return tuple((first, second) for first, second in pairs)


def _check_baselines(filename: str, stages: list[Stage]) -> None:
    names = [stage.name for stage in stages]
    for stage in stages:
        for other in stage.baseline_of:
            if other not in names:
                raise UserError(f'{filename}: stage "{stage.name}" is the baseline of "{other}", which is no stage')
