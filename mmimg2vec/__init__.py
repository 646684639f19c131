"""Masked image modeling with deep-feature targets, as a plugin of OpenMMLab.

``custom_imports = dict(imports=['mmimg2vec'])`` in a config makes every part available as ``type='mmimg2vec.X'``.
Importing the package checks the versions of what it builds on; the parts themselves are imported when a registry is
first asked for one. It also changes three things of the whole process: mmengine's loaders of checkpoints are replaced
by some that execute nothing (for every library in the process), ``sys.excepthook`` prints a :class:`UserError` as one
line, and mmdet's remark that an unrelated package is missing is left out. With ``MMIMG2VEC_PATCH=0`` in the environment
all three stay as they are; what this package reads itself is read safely all the same, but for what mmengine loads:
``load_from``, ``resume``, and ``init_cfg`` where mmengine initializes.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from mmimg2vec.environment import check_environment, silence_onedl
from mmimg2vec.errors import UserError, install_excepthook
from mmimg2vec.version import __version__

_PATCH = os.environ.get('MMIMG2VEC_PATCH', '1') != '0'
if _PATCH:
    install_excepthook()
check_environment()
if _PATCH:
    silence_onedl()

from mmimg2vec import registry  # noqa: E402  (the registries need a checked mmengine)
from mmimg2vec.checkpoint.sources import register_safe_loaders  # noqa: E402

if _PATCH:
    register_safe_loaders()

if TYPE_CHECKING:
    from mmimg2vec.checkpoint.backbone_file import load_backbone
    from mmimg2vec.engine.pretraining import pretrain

__all__ = ['UserError', '__version__', 'load_backbone', 'pretrain', 'registry']

# Imported when they are first asked for: what they need takes seconds.
_LAZY = {'load_backbone': 'mmimg2vec.checkpoint.backbone_file', 'pretrain': 'mmimg2vec.engine.pretraining'}


def __getattr__(name: str) -> Any:
    """The functions for notebooks.

    Raises:
        AttributeError: The package has no such name.
    """
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
