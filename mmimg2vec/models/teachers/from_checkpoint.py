"""The backbone of an earlier run as teacher, described by the file that the run left."""

from __future__ import annotations

from typing import Any

from mmimg2vec.checkpoint.backbone_file import PREFIX, described_backbone
from mmimg2vec.checkpoint.safe_load import safe_load
from mmimg2vec.errors import UserError


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
