from mmimg2vec.models.utils.diversity import token_diversity
from mmimg2vec.models.utils.tokens import (
    SUPERVISIONS,
    check_heads,
    check_mask,
    compared_positions,
    count_compared,
    count_masked,
    gather_tokens,
    map_to_tokens,
    sincos_position_embedding,
    split_indices,
)

__all__ = [
    'SUPERVISIONS',
    'check_heads',
    'check_mask',
    'compared_positions',
    'count_compared',
    'count_masked',
    'gather_tokens',
    'map_to_tokens',
    'sincos_position_embedding',
    'split_indices',
    'token_diversity',
]
