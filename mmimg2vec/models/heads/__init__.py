from mmimg2vec.models.heads.several_heads import SeveralHeads
from mmimg2vec.models.heads.token_heads import FeatureHead, TokenAlignmentHead, TokenHead

__all__ = ['FeatureHead', 'SeveralHeads', 'TokenAlignmentHead', 'TokenHead']
