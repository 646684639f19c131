from mmimg2vec.models.backbones.masked_vit import MaskedVisionTransformer
from mmimg2vec.models.backbones.vitdet import ViTDet

__all__ = ['MaskedVisionTransformer', 'ViTDet']
