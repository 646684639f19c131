from mmimg2vec.models.necks.cross_attention_decoder import CrossAttentionDecoder
from mmimg2vec.models.necks.fusion import MultiLevelFusion
from mmimg2vec.models.necks.self_attention_decoder import SelfAttentionDecoder
from mmimg2vec.models.necks.simple_feature_pyramid import SimpleFeaturePyramid

__all__ = [
    'CrossAttentionDecoder',
    'MultiLevelFusion',
    'SelfAttentionDecoder',
    'SimpleFeaturePyramid',
]
