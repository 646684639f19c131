from mmimg2vec.models.algorithms import MFF, CAEv2, Img2Vec, MaskedImageModel
from mmimg2vec.models.backbones import MaskedVisionTransformer, ViTDet
from mmimg2vec.models.data_preprocessor import MaskedImagePreprocessor
from mmimg2vec.models.heads import FeatureHead, TokenAlignmentHead
from mmimg2vec.models.losses import CosineFeatureLoss, MSEFeatureLoss, SmoothL1FeatureLoss
from mmimg2vec.models.necks import (
    CrossAttentionDecoder,
    LatentRegressor,
    MultiLevelFusion,
    SelfAttentionDecoder,
    SimpleFeaturePyramid,
)
from mmimg2vec.models.target_generators import (
    BackboneTargetGenerator,
    CLIPTargetGenerator,
    CLIPVisionTower,
    PixelTargetGenerator,
    TargetGenerator,
    TimmTeacher,
    TransformersTeacher,
)

__all__ = [
    'MFF',
    'BackboneTargetGenerator',
    'CAEv2',
    'CLIPTargetGenerator',
    'CLIPVisionTower',
    'CosineFeatureLoss',
    'CrossAttentionDecoder',
    'FeatureHead',
    'Img2Vec',
    'LatentRegressor',
    'MSEFeatureLoss',
    'MaskedImageModel',
    'MaskedImagePreprocessor',
    'MaskedVisionTransformer',
    'MultiLevelFusion',
    'PixelTargetGenerator',
    'SelfAttentionDecoder',
    'SimpleFeaturePyramid',
    'SmoothL1FeatureLoss',
    'TargetGenerator',
    'TimmTeacher',
    'TokenAlignmentHead',
    'TransformersTeacher',
    'ViTDet',
]
