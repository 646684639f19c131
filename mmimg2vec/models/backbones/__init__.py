from mmimg2vec.models.backbones.clip_text_tower import CLIPTextTower
from mmimg2vec.models.backbones.frozen_vit import FrozenVisionTransformer
from mmimg2vec.models.backbones.masked_vit import MaskedVisionTransformer
from mmimg2vec.models.backbones.relative_position_vit import RelativePositionVisionTransformer
from mmimg2vec.models.backbones.vitdet import ViTDet

__all__ = [
    'CLIPTextTower',
    'FrozenVisionTransformer',
    'MaskedVisionTransformer',
    'RelativePositionVisionTransformer',
    'ViTDet',
]
