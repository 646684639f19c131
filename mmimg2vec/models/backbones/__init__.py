from mmimg2vec.models.backbones.masked_vit import MaskedVisionTransformer

__all__ = ['MaskedVisionTransformer']
