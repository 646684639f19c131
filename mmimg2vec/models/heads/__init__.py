from mmimg2vec.models.heads.base import TokenHead
from mmimg2vec.models.heads.feature_head import FeatureHead
from mmimg2vec.models.heads.token_alignment_head import TokenAlignmentHead

__all__ = ['FeatureHead', 'TokenAlignmentHead', 'TokenHead']
