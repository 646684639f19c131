"""Teachers by a text: the ``backbone.pth`` of an earlier run, or the name of weights that come in a package."""

from __future__ import annotations

from typing import Any

from mmimg2vec.checkpoint.backbone_file import PREFIX, described_backbone
from mmimg2vec.checkpoint.packages import PACKAGED, SCHEME
from mmimg2vec.checkpoint.safe_load import safe_load
from mmimg2vec.errors import UserError


def named_teacher(text: str) -> dict[str, Any]:
    """Describe the teacher that a text stands for.

    Args:
        text: Name of :data:`~mmimg2vec.checkpoint.packages.PACKAGED`, with ``#INDEX`` behind it for a stage of the
            network, or what :func:`teacher_from_checkpoint` takes.

    Returns:
        As :func:`teacher_from_checkpoint`.

    Raises:
        UserError: The stage is no number, or the file does not tell a backbone.
    """
    name = text.partition('#')[0]
    if name not in PACKAGED:
        return teacher_from_checkpoint(text)
    init_cfg = dict(type='Pretrained', checkpoint=SCHEME + name, prefix='')
    return {'teacher': dict(timm_teacher(text), init_cfg=init_cfg)}


def timm_teacher(text: str) -> dict[str, Any]:
    """``NAME`` or ``NAME#INDEX``, a network of timm and the number of its stage -> config of the teacher.

    Raises:
        UserError: The stage is no number.
    """
    name, _, stage = text.partition('#')
    teacher: dict[str, Any] = dict(type='mmimg2vec.TimmTeacher', model_name=name)
    if stage:
        try:
            teacher['out_index'] = int(stage)
        except ValueError:
            raise UserError(f'{text}: the stage {stage!r} is no number') from None
    return teacher


def teacher_from_checkpoint(path: str) -> dict[str, Any]:
    """Describe the backbone of a ``backbone.pth``, or of a whole checkpoint of a run.

    Args:
        path: The file.

    Returns:
        Arguments of ``BackboneTargetGenerator``: ``teacher`` with its ``init_cfg``, and ``mean`` and ``std`` where the
        file tells them.

    Raises:
        UserError: The file is missing or damaged, or does not tell a backbone that can be taken.
    """
    found = described_backbone(safe_load(path, 'cpu'), path)
    if not found.kind:
        raise UserError(
            f'{path} does not say what its backbone is; write the teacher out: teacher=dict(type=..., '
            "init_cfg=dict(type='Pretrained', checkpoint=...))"
        )
    init_cfg = dict(type='Pretrained', checkpoint=path, prefix=PREFIX)
    result: dict[str, Any] = {'teacher': dict(type=f'{found.scope}.{found.kind}', **found.arguments, init_cfg=init_cfg)}
    for key, values in (('mean', found.mean), ('std', found.std)):
        if values is not None and len(values) == 3:
            result[key] = values
    return result
