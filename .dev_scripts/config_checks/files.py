"""Configs as files: inheritance, head comment, and the chains that name them."""

from __future__ import annotations

import ast
from pathlib import Path

from config_checks.names import EMBEDDED_DATA
from mmimg2vec.chain import Stage, read_chain
from mmimg2vec.errors import UserError

MAX_DEPTH = 2
CHAINS = 'chains'


def find_configs(root: Path) -> list[Path]:
    """All configs below ``root/configs`` that describe a run."""
    files = sorted((root / 'configs').rglob('*.py'))
    return [f for f in files if not {'_base_', CHAINS} & set(f.relative_to(root).parts)]


def find_chains(root: Path) -> list[Path]:
    """All chain configs."""
    return sorted((root / 'configs' / CHAINS).glob('*.py'))


def check_chain(chain: Path, root: Path) -> list[str]:
    """Whether a chain config can be read, and every config and script that its stages name is there."""
    try:
        read = read_chain(str(chain))
    except UserError as error:
        return [str(error)]
    named = {stage.name: [stage.config] if stage.config else _scripts(stage) for stage in read.stages}
    return [
        f'stage {stage}: no file {file}'
        for stage, files in named.items()
        for file in files
        # What stands in the folder of a stage is written when that stage runs.
        if not ((root / file).is_file() or Path(file).is_relative_to(read.work_dir))
    ]


def _scripts(stage: Stage) -> list[str]:
    return [word.rpartition('=')[2] for word in stage.command if '.py' in word]


def on_embedded_data(config: Path) -> bool:
    """Whether a config is one of the demo's, which no paper and no model zoo knows."""
    return config.stem.split('_')[-1].startswith(EMBEDDED_DATA)


def base_files(config: Path) -> list[Path]:
    """Files that a config names in ``_base_``."""
    for node in ast.parse(config.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', None) == '_base_':
            bases = ast.literal_eval(node.value)
            return [config.parent / base for base in ([bases] if isinstance(bases, str) else bases)]
    return []


def family(config: Path) -> list[Path]:
    """A config and all files that it inherits from."""
    return [config, *(file for base in base_files(config) for file in family(base))]


def imports(config: Path) -> bool:
    """Whether a config file imports anything."""
    nodes = ast.walk(ast.parse(config.read_text(encoding='utf-8')))
    return any(isinstance(node, ast.Import | ast.ImportFrom) for node in nodes)


def inheritance_depth(config: Path) -> int:
    """Levels below a config: 0 without ``_base_``, 1 with bases that have none themselves, and so on."""
    return max((1 + inheritance_depth(base) for base in base_files(config)), default=0)


def check_file(config: Path) -> list[str]:
    """Whether inheritance is shallow, and the head says what the config is and how to run it."""
    missing = [str(base) for base in base_files(config) if not base.is_file()]
    if missing:
        return [f'_base_ names {", ".join(missing)}, which does not exist']
    problems = []
    depth = inheritance_depth(config)
    if depth > MAX_DEPTH:
        problems.append(f'inherits over {depth} levels, at most {MAX_DEPTH} are allowed')
    for file in filter(imports, family(config)):
        # mmengine 0.10.7 in a virtual environment takes such a file for one of its other kind of config.
        problems.append(f"{file.name} imports; for an environment variable write '{{{{$NAME:default}}}}'")
    head = ast.get_docstring(ast.parse(config.read_text(encoding='utf-8'))) or ''
    for word in ('measured', 'Run: ', *(() if on_embedded_data(config) else ('arXiv',))):
        if word.lower() not in head.lower():
            problems.append(f'its head (the docstring) lacks {word!r}')
    if 'Run: ' in head and config.name not in head:
        problems.append('the command in its head runs another config')
    return problems


def check_twins(root: Path) -> list[str]:
    """Whether each name is given once: default work directories and mim know of a config its name alone."""
    first: dict[str, Path] = {}
    twins = [(config, first.setdefault(config.stem, config)) for config in find_configs(root)]
    return [f'{config}: has the name of {twin}' for config, twin in twins if config != twin]
