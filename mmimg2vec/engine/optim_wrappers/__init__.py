from mmimg2vec.engine.optim_wrappers.autocast import AutocastOptimWrapper

__all__ = ['AutocastOptimWrapper']
