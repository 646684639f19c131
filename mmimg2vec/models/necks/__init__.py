from mmimg2vec.models.necks.attentive_pooling import AttentivePooling
from mmimg2vec.models.necks.decoders import CrossAttentionDecoder, SelfAttentionDecoder, TokenDecoder
from mmimg2vec.models.necks.feature_norm import FeatureNorm
from mmimg2vec.models.necks.fusion import MultiLevelFusion
from mmimg2vec.models.necks.latent_regressor import LatentRegressor
from mmimg2vec.models.necks.simple_feature_pyramid import SimpleFeaturePyramid

__all__ = [
    'AttentivePooling',
    'CrossAttentionDecoder',
    'FeatureNorm',
    'LatentRegressor',
    'MultiLevelFusion',
    'SelfAttentionDecoder',
    'SimpleFeaturePyramid',
    'TokenDecoder',
]
