"""Registries of the scope ``mmimg2vec``, children of mmengine's root registries.

As direct children of the root they are found as ``type='mmimg2vec.X'`` from mmpretrain, mmdet and mmseg alike;
nested under mmpretrain's registries they would not be found from mmdet. The modules named in ``locations`` are
imported when a part is first asked for, so that ``import mmimg2vec`` stays cheap.
"""

from mmengine import registry as root
from mmengine.registry import Registry

SCOPE = 'mmimg2vec'

MODELS = Registry('model', parent=root.MODELS, scope=SCOPE, locations=['mmimg2vec.models'])
DATASETS = Registry('dataset', parent=root.DATASETS, scope=SCOPE, locations=['mmimg2vec.datasets'])
DATA_SAMPLERS = Registry('data sampler', parent=root.DATA_SAMPLERS, scope=SCOPE, locations=['mmimg2vec.datasets'])
TRANSFORMS = Registry('transform', parent=root.TRANSFORMS, scope=SCOPE, locations=['mmimg2vec.datasets'])
HOOKS = Registry('hook', parent=root.HOOKS, scope=SCOPE, locations=['mmimg2vec.engine.hooks'])
LOOPS = Registry('loop', parent=root.LOOPS, scope=SCOPE, locations=['mmimg2vec.engine.loops'])
OPTIM_WRAPPERS = Registry(
    'optimizer wrapper',
    parent=root.OPTIM_WRAPPERS,
    scope=SCOPE,
    locations=['mmimg2vec.engine.optim_wrappers'],
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=root.OPTIM_WRAPPER_CONSTRUCTORS,
    scope=SCOPE,
    locations=['mmimg2vec.engine.optim_wrappers'],
)
VISBACKENDS = Registry(
    'visualization backend', parent=root.VISBACKENDS, scope=SCOPE, locations=['mmimg2vec.engine.vis_backends']
)
