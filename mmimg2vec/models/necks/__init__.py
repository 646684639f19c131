from mmimg2vec.models.necks.attentive_pooling import AttentivePooling
from mmimg2vec.models.necks.base import TokenDecoder
from mmimg2vec.models.necks.cross_attention_decoder import CrossAttentionDecoder
from mmimg2vec.models.necks.fusion import MultiLevelFusion
from mmimg2vec.models.necks.latent_regressor import LatentRegressor
from mmimg2vec.models.necks.self_attention_decoder import SelfAttentionDecoder
from mmimg2vec.models.necks.simple_feature_pyramid import SimpleFeaturePyramid

__all__ = [
    'AttentivePooling',
    'CrossAttentionDecoder',
    'LatentRegressor',
    'MultiLevelFusion',
    'SelfAttentionDecoder',
    'SimpleFeaturePyramid',
    'TokenDecoder',
]
