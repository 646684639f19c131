from mmimg2vec.models.target_generators.backbone import BackboneTargetGenerator
from mmimg2vec.models.target_generators.base import TargetGenerator, TargetLayout, freeze
from mmimg2vec.models.target_generators.clip import CLIPTargetGenerator
from mmimg2vec.models.target_generators.clip_tower import CLIPVisionTower
from mmimg2vec.models.target_generators.normalisation import NORMALISATIONS, normalise
from mmimg2vec.models.target_generators.pixels import PixelTargetGenerator
from mmimg2vec.models.target_generators.timm_teacher import TimmTeacher
from mmimg2vec.models.target_generators.transformers_teacher import TransformersTeacher

__all__ = [
    'NORMALISATIONS',
    'BackboneTargetGenerator',
    'CLIPTargetGenerator',
    'CLIPVisionTower',
    'PixelTargetGenerator',
    'TargetGenerator',
    'TargetLayout',
    'TimmTeacher',
    'TransformersTeacher',
    'freeze',
    'normalise',
]
