from mmimg2vec.models.heads.feature_head import FeatureHead

__all__ = ['FeatureHead']
