from mmimg2vec.models.target_generators.backbone import BackboneTargetGenerator
from mmimg2vec.models.target_generators.base import NORMALIZATIONS, TargetGenerator, TargetLayout, freeze, normalize
from mmimg2vec.models.target_generators.clip import CLIPTargetGenerator
from mmimg2vec.models.target_generators.hog import HOGTargetGenerator
from mmimg2vec.models.target_generators.pixels import PixelTargetGenerator
from mmimg2vec.models.target_generators.several import SeveralTargetGenerators

__all__ = [
    'NORMALIZATIONS',
    'BackboneTargetGenerator',
    'CLIPTargetGenerator',
    'HOGTargetGenerator',
    'PixelTargetGenerator',
    'SeveralTargetGenerators',
    'TargetGenerator',
    'TargetLayout',
    'freeze',
    'normalize',
]
