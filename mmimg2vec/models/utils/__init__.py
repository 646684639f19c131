from mmimg2vec.models.utils.diversity import token_diversity
from mmimg2vec.models.utils.token_mask import SUPERVISIONS, TokenMask, gather_tokens
from mmimg2vec.models.utils.tokens import check_heads, map_to_tokens, sincos_position_embedding

__all__ = [
    'SUPERVISIONS',
    'TokenMask',
    'check_heads',
    'gather_tokens',
    'map_to_tokens',
    'sincos_position_embedding',
    'token_diversity',
]
