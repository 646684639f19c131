from mmimg2vec.engine.optim_wrappers.autocast import AutocastOptimWrapper
from mmimg2vec.engine.optim_wrappers.layer_decay import LayerDecayOptimWrapperConstructor

__all__ = ['AutocastOptimWrapper', 'LayerDecayOptimWrapperConstructor']
