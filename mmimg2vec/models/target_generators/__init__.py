from mmimg2vec.models.target_generators.backbone import BackboneTargetGenerator
from mmimg2vec.models.target_generators.base import TargetGenerator, TargetLayout, freeze
from mmimg2vec.models.target_generators.normalisation import NORMALISATIONS, normalise

__all__ = [
    'NORMALISATIONS',
    'BackboneTargetGenerator',
    'TargetGenerator',
    'TargetLayout',
    'freeze',
    'normalise',
]
