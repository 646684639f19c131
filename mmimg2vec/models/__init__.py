from mmimg2vec.models.algorithms import CLIP, MFF, CAEv2, Img2Vec, MaskedImageModel
from mmimg2vec.models.backbones import (
    CLIPTextTower,
    FrozenVisionTransformer,
    MaskedVisionTransformer,
    RelativePositionVisionTransformer,
    ViTDet,
)
from mmimg2vec.models.data_preprocessor import MaskedImagePreprocessor
from mmimg2vec.models.heads import FeatureHead, SeveralHeads, TokenAlignmentHead, TokenHead
from mmimg2vec.models.layers.roi_extractor import ScaledGradientRoIExtractor
from mmimg2vec.models.losses import CosineFeatureLoss, MSEFeatureLoss, SmoothL1FeatureLoss
from mmimg2vec.models.necks import (
    AttentivePooling,
    CrossAttentionDecoder,
    FeatureNorm,
    LatentRegressor,
    MultiLevelFusion,
    SelfAttentionDecoder,
    SimpleFeaturePyramid,
    TokenDecoder,
)
from mmimg2vec.models.target_generators import (
    BackboneTargetGenerator,
    CLIPTargetGenerator,
    HOGTargetGenerator,
    PixelTargetGenerator,
    SeveralTargetGenerators,
    TargetGenerator,
)
from mmimg2vec.models.teachers.clip_tower import CLIPVisionTower
from mmimg2vec.models.teachers.timm_teacher import TimmTeacher
from mmimg2vec.models.teachers.transformers_teacher import TransformersTeacher

__all__ = [
    'CLIP',
    'MFF',
    'AttentivePooling',
    'BackboneTargetGenerator',
    'CAEv2',
    'CLIPTargetGenerator',
    'CLIPTextTower',
    'CLIPVisionTower',
    'CosineFeatureLoss',
    'CrossAttentionDecoder',
    'FeatureHead',
    'FeatureNorm',
    'FrozenVisionTransformer',
    'HOGTargetGenerator',
    'Img2Vec',
    'LatentRegressor',
    'MSEFeatureLoss',
    'MaskedImageModel',
    'MaskedImagePreprocessor',
    'MaskedVisionTransformer',
    'MultiLevelFusion',
    'PixelTargetGenerator',
    'RelativePositionVisionTransformer',
    'ScaledGradientRoIExtractor',
    'SelfAttentionDecoder',
    'SeveralHeads',
    'SeveralTargetGenerators',
    'SimpleFeaturePyramid',
    'SmoothL1FeatureLoss',
    'TargetGenerator',
    'TimmTeacher',
    'TokenAlignmentHead',
    'TokenDecoder',
    'TokenHead',
    'TransformersTeacher',
    'ViTDet',
]
