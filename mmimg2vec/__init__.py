"""Masked image modeling with deep-feature targets, as a plugin of OpenMMLab.

``custom_imports = dict(imports=['mmimg2vec'])`` in a config makes every part available as ``type='mmimg2vec.X'``.
Importing the package checks the versions of what it builds on and registers the safe checkpoint loader; the parts
themselves are imported when a registry is first asked for one.
"""

from mmimg2vec.environment import check_environment
from mmimg2vec.errors import UserError, install_excepthook
from mmimg2vec.version import __version__

install_excepthook()
check_environment()

from mmimg2vec import registry  # noqa: E402  (the registries need a checked mmengine)
from mmimg2vec.checkpoint.safe_load import register_safe_loader  # noqa: E402

register_safe_loader()

__all__ = ['UserError', '__version__', 'registry']
