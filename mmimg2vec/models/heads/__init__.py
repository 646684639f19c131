from mmimg2vec.models.heads.token_heads import FeatureHead, TokenAlignmentHead, TokenHead

__all__ = ['FeatureHead', 'TokenAlignmentHead', 'TokenHead']
