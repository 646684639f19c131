"""What is known about a stage: whether it is finished, with which settings, in how much time.

``STAGE/stage.json`` is written whole after a stage has ended well, and is what says that it is finished.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmimg2vec.chain.plan import Chain, Stage
from mmimg2vec.checkpoint.newest import list_checkpoints
from mmimg2vec.errors import UserError
from mmimg2vec.utils.config import load_config
from mmimg2vec.utils.paths import find_shipped
from mmimg2vec.utils.write import write_json

_RECORD = 'stage.json'
_CLOCK = 'seconds.json'
_STARTED = 'begun'


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a finished stage, or None.

    Raises:
        UserError: The record is not readable.
    """
    try:
        return json.loads((folder / _RECORD).read_text(encoding='utf-8'))
    except FileNotFoundError:
        return None
    except ValueError:
        raise UserError(
            f'{folder / _RECORD} is not readable JSON: delete it, and the stage runs again from its last checkpoint'
        ) from None


def write_record(folder: Path, stage: Stage, settings: str, command: str = '') -> None:
    """Write down that a stage is finished, and with which command."""
    record = {
        'stage': stage.name,
        'command': command,
        'settings': settings,
        'seconds': round(read_seconds(folder), 1),
        'finished': time.strftime('%Y-%m-%d %H:%M:%S'),
    }
    write_json(folder / _RECORD, record)


def read_seconds(folder: Path) -> float:
    """Seconds that a stage has run so far, all attempts together."""
    try:
        return float(json.loads((folder / _CLOCK).read_text()))
    except (FileNotFoundError, ValueError):
        return 0.0


def write_seconds(folder: Path, seconds: float) -> None:
    """Write down the seconds that a stage has run so far."""
    write_json(folder / _CLOCK, round(seconds, 1))


def settings_of(chain: Chain, stage: Stage) -> str:
    """A digest of all that decides a stage's result: configs, command, environment, seed, digests of what it needs."""
    return _digest(chain, stage, {})


def _digest(chain: Chain, stage: Stage, known: dict[str, str]) -> str:
    """See ``settings_of``; ``known`` keeps the digests of stages that several need: their configs are slow to read."""
    if stage.name in known:
        return known[stage.name]
    parts: list[Any] = [chain.seed, [_digest(chain, chain[name], known) for name in stage.needs]]
    parts += [stage.command or None, sorted(stage.env.items())]
    words = stage.command[1:] if stage.command else (stage.config,)
    for config in words:
        if config.endswith('.py') and find_shipped(config).is_file():
            parts.append(read_config(stage, config).pretty_text)
    text = json.dumps(parts)
    # The chain's own folder is left out: what is finished stays finished where it is moved.
    for path in (str(chain.work_dir.resolve()), str(chain.work_dir)):
        text = text.replace(path, 'CHAIN')
    known[stage.name] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return known[stage.name]


def is_finished(chain: Chain, stage: Stage) -> bool:
    """Whether a stage is finished with the settings that the chain has now.

    Raises:
        UserError: It is finished, with other settings.
    """
    record = read_record(chain.folder(stage))
    if record is None:
        return False
    if record.get('settings') != settings_of(chain, stage):
        raise UserError(
            f'stage {stage.name} in {chain.folder(stage)} was finished with other settings (config, seed or an earlier '
            f'stage): name another --work-dir, or have it done again with --redo {stage.name}'
        )
    return True


def check_interrupted(chain: Chain, stage: Stage) -> None:
    """Check that an interrupted stage was begun with the settings that the chain has now.

    Raises:
        UserError: It has a checkpoint from which it would go on, of other settings.
    """
    folder = chain.folder(stage)
    begun = folder / _STARTED
    if not (list_checkpoints(folder) and begun.is_file()):
        return
    if begun.read_text() != settings_of(chain, stage):
        raise UserError(
            f'stage {stage.name} in {folder} was begun with other settings (config, seed or an earlier stage) and '
            f'would go on from their checkpoint: name another --work-dir, or begin again with --redo {stage.name}'
        )


def record_start(chain: Chain, stage: Stage) -> str:
    """Write down with which settings a stage starts; returns their digest."""
    settings = settings_of(chain, stage)
    (chain.folder(stage) / _STARTED).write_text(settings)
    return settings


def archive(chain: Chain, name: str) -> list[str]:
    """Make a stage and all that need it unfinished; their folders are kept under another name.

    Returns:
        Names of the stages.
    """
    stages = chain.with_dependents([name])
    for stage in stages:
        folder = chain.folder(stage)
        if folder.exists():
            number = 1
            while (old := folder.with_name(f'{folder.name}.old{number}')).exists():
                number += 1
            folder.rename(old)
    return stages


def read_config(stage: Stage, config: str | None = None) -> Config:
    """Read a stage's config, or another one, with the stage's environment variables and options.

    Raises:
        UserError: It cannot be read.
    """
    with environment_variables(stage.env):
        return load_config(config or stage.config, copy.deepcopy(stage.options))


@contextlib.contextmanager
def environment_variables(variables: dict[str, str]) -> Iterator[None]:
    """Environment variables for the time of a ``with`` block, which configs read; afterwards they are as before."""
    before = {key: os.environ.get(key) for key in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
