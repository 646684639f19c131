"""Pre-training from Python, as in a notebook: the config and the runner of the command line behind one function."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmimg2vec.engine.command_line import build_runner, set_dataloader_defaults
from mmimg2vec.engine.data_preparation import prepare_data
from mmimg2vec.engine.launch import prepare_launch
from mmimg2vec.engine.run_folder import begin_run, end_run
from mmimg2vec.errors import UserError
from mmimg2vec.teacher_selection.teachers import find_teacher
from mmimg2vec.utils.config import load_config

_CONFIG = 'configs/img2vec/img2vec_vit-{}-p16_1xb256-amp-coslr-300e_own-images.py'
_SIZES = ('small', 'base')
_TEACHER = 'dino_resnet50'


def pretrain(
    images: str | Path,
    teacher: str = _TEACHER,
    out: str | Path = 'work_dirs/run',
    epochs: int | None = None,
    student: str = 'small',
    options: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Pre-train a vision transformer on a folder of unlabeled images, in this process.

    The config is that of ``configs/img2vec`` for images of one's own. What was changed in it is printed, and the run
    leaves the whole of it in ``out``: ``python tools/train.py`` with that file trains the same.

    Args:
        images: Folder of images, flat or with folders inside.
        teacher: Name of a file in ``configs/_base_/teachers``, or any other text that
            :func:`~mmimg2vec.teacher_selection.teachers.find_teacher` takes: a config, ``timm:NAME@FILE``,
            ``transformers:FOLDER``, the ``backbone.pth`` of a run; ``@FILE`` behind a name is other weights.
        out: Folder of the run.
        epochs: Passes over the images, which the schedule follows; None is the config's 300.
        student: ``'small'``, ``'base'``, or the file of a pre-training config.
        options: Dotted key -> value that changes the config, as ``--cfg-options``.
        resume: Go on from the newest checkpoint in ``out``.
        overwrite: Begin anew in a folder that holds a run; its files are set aside.

    Returns:
        ``out/backbone.pth``, for :func:`~mmimg2vec.checkpoint.backbone_file.load_backbone` and all that follows.

    Raises:
        UserError: There is no such folder, teacher or config, the folder of the run is in use, or the run cannot start.
    """
    cfg = pretraining_config(images, teacher, out, epochs, student, options)
    cfg.resume = resume
    prepare_launch(cfg, 'none')
    begin_run(cfg.work_dir, resume, overwrite)
    try:
        runner = build_runner(cfg)
        prepare_data(runner, ('train', 'val'))
        runner.train()
    finally:
        end_run(cfg.work_dir)
    return Path(out) / 'backbone.pth'


def pretraining_config(
    images: str | Path,
    teacher: str = _TEACHER,
    out: str | Path = 'work_dirs/run',
    epochs: int | None = None,
    student: str = 'small',
    options: Mapping[str, Any] | None = None,
) -> Config:
    """The config of :func:`pretrain`, with the same arguments; prints the file and what was changed in it.

    Raises:
        UserError: There is no such folder, teacher or config.
    """
    file = _CONFIG.format(student) if student in _SIZES else student
    if not file.endswith('.py'):
        raise UserError(f'no student {student!r}: {", ".join(_SIZES)}, or the file of a pre-training config')
    if not os.path.isdir(images):
        raise UserError(f'no folder of images {images}')
    changes = dict(options or {})
    if epochs is not None:
        changes['train_cfg.max_epochs'] = epochs
    generator = None if teacher == _TEACHER else find_teacher(teacher)
    cfg = load_config(file, dict(changes))
    dataset = cfg.train_dataloader.dataset
    (dataset.get('dataset') or dataset).data_root = str(images)
    if generator is not None:
        # As the reference has it, but for what the teacher's own config says.
        reference = cfg.model.get('target_generator') or {}
        kept = {key: reference[key] for key in ('normalization', 'dtype') if key in reference}
        cfg.model.target_generator = {**kept, **generator}
    cfg.work_dir = str(out)
    set_dataloader_defaults(cfg)
    said = {'images': images, 'teacher': teacher, 'work_dir': out, **changes}
    print(f'config: {file}\n' + '\n'.join(f'  {key} = {value}' for key, value in said.items()))
    print(f'all of it: {Path(out) / Path(file).name}, which tools/train.py takes')
    return cfg
