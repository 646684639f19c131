from mmimg2vec.models.algorithms import Img2Vec, MaskedImageModel
from mmimg2vec.models.backbones import MaskedVisionTransformer, ViTDet
from mmimg2vec.models.data_preprocessor import MaskedImagePreprocessor
from mmimg2vec.models.heads import FeatureHead
from mmimg2vec.models.losses import CosineFeatureLoss, MSEFeatureLoss, SmoothL1FeatureLoss
from mmimg2vec.models.necks import (
    CrossAttentionDecoder,
    MultiLevelFusion,
    SelfAttentionDecoder,
    SimpleFeaturePyramid,
)
from mmimg2vec.models.target_generators import BackboneTargetGenerator, TargetGenerator

__all__ = [
    'BackboneTargetGenerator',
    'CosineFeatureLoss',
    'CrossAttentionDecoder',
    'FeatureHead',
    'Img2Vec',
    'MSEFeatureLoss',
    'MaskedImageModel',
    'MaskedImagePreprocessor',
    'MaskedVisionTransformer',
    'MultiLevelFusion',
    'SelfAttentionDecoder',
    'SimpleFeaturePyramid',
    'SmoothL1FeatureLoss',
    'TargetGenerator',
    'ViTDet',
]
