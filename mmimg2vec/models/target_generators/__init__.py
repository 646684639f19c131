from mmimg2vec.models.target_generators.backbone import BackboneTargetGenerator
from mmimg2vec.models.target_generators.base import NORMALIZATIONS, TargetGenerator, TargetLayout, freeze, normalize
from mmimg2vec.models.target_generators.clip import CLIPTargetGenerator
from mmimg2vec.models.target_generators.pixels import PixelTargetGenerator

__all__ = [
    'NORMALIZATIONS',
    'BackboneTargetGenerator',
    'CLIPTargetGenerator',
    'PixelTargetGenerator',
    'TargetGenerator',
    'TargetLayout',
    'freeze',
    'normalize',
]
