"""What a teacher is called on the command line, and the target generator that is meant."""

from __future__ import annotations

import copy
import difflib
import re
from pathlib import Path
from typing import Any

from mmimg2vec.checkpoint.packages import PACKAGED, SCHEME
from mmimg2vec.errors import UserError
from mmimg2vec.models.teachers.from_checkpoint import named_teacher, timm_teacher
from mmimg2vec.utils.config import load_config
from mmimg2vec.utils.paths import shipped_folder

_GENERATOR = 'mmimg2vec.BackboneTargetGenerator'
_FORMS = (
    'a config file, one of configs/_base_/teachers, the name of weights in a package, timm:NAME@FILE, '
    'transformers:FOLDER, or the backbone.pth of a run'
)


def shipped_teachers() -> dict[str, Path]:
    """Names of the configs in ``configs/_base_/teachers``, of the package and of the current folder -> file."""
    found: dict[str, Path] = {}
    for root in (shipped_folder('configs'), Path('configs')):  # the same name in the current folder is the one meant
        found |= {file.stem: file for file in sorted(root.glob('_base_/teachers/*.py'))}
    return found


def split_name(text: str) -> tuple[str, str]:
    """``NAME=TEACHER`` -> both; a teacher without a name is called as it is written."""
    named = re.fullmatch(r'([\w.+-]+)=(.+)', text)
    return (named[1], named[2]) if named else (text, text)


def is_config(text: str) -> bool:
    """Whether a teacher is given by a config, which then says how its grid is brought onto the student's."""
    name = text.partition('@')[0]
    return name.endswith('.py') or name in shipped_teachers()


def find_teacher(text: str) -> dict[str, Any]:
    """Config of the target generator that a text on the command line stands for.

    Args:
        text: A config file with ``target_generator`` or ``model.target_generator``; the name of one in
            ``configs/_base_/teachers``; the name of weights that come in a Python package
            (:data:`~mmimg2vec.checkpoint.packages.PACKAGED`); ``timm:NAME``; ``transformers:FOLDER``; or the
            ``backbone.pth`` of a run. ``#INDEX`` behind a network of timm or of a package chooses a stage; ``@FILE``
            behind it names other weights, ``@random`` stands for random ones.

    Raises:
        UserError: There is no such teacher, or it has no weights.
    """
    name, _, weights = text.partition('@')
    shipped = shipped_teachers()
    if is_config(text):
        cfg = load_config(str(shipped.get(name, name)))
        found = cfg.get('target_generator') or (cfg.get('model') or {}).get('target_generator')
        if found is None:
            raise UserError(f'{name} has neither target_generator nor model.target_generator')
        if not isinstance(found, dict) or 'type' not in found:
            raise UserError(f'{name}: target_generator should be a dict with a type')
        generator: dict[str, Any] = copy.deepcopy(dict(found))
        generator.pop('_delete_', None)
    elif name.startswith('timm:'):
        generator = _wrap(timm_teacher(name.removeprefix('timm:')))
    elif name.partition('#')[0] in PACKAGED:
        generator = _wrap(named_teacher(name)['teacher'])
        weights = weights or SCHEME + name.partition('#')[0]
    elif name.startswith('transformers:'):
        folder = name[len('transformers:') :]
        generator = _wrap(dict(type='mmimg2vec.TransformersTeacher', folder=folder))
        weights = weights or str(_weights_file(Path(folder)))
    elif name.endswith('.pth'):
        if weights:
            raise UserError(f'{name} is a run with weights of its own: leave out @{weights}')
        return dict(type=_GENERATOR, teacher=name)
    else:
        known = [*shipped, *PACKAGED]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f'; near: {near[0]}' if near else ''
        raise UserError(f'no teacher {text!r}{hint}: name {_FORMS}; there are {", ".join(known)}')
    if weights == 'random':
        generator['random_weights'] = 0
        if isinstance(generator.get('teacher'), dict):
            generator['teacher'].pop('init_cfg', None)
    elif weights:
        if not isinstance(generator.get('teacher'), dict):
            raise UserError(f'{name} has no teacher that @{weights} could fill')
        generator['teacher']['init_cfg'] = dict(type='Pretrained', checkpoint=weights)
        generator.pop('random_weights', None)
    elif not is_config(text):
        raise UserError(f'{name} needs weights: {name}@FILE, or {name}@random')
    return generator


def _wrap(teacher: dict[str, Any]) -> dict[str, Any]:
    return dict(type=_GENERATOR, teacher=teacher)


def _weights_file(folder: Path) -> Path:
    for name in ('model.safetensors', 'pytorch_model.bin'):
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f'{folder} holds neither model.safetensors nor pytorch_model.bin: name the weights with @FILE, or @random'
    )
