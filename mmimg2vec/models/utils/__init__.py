from mmimg2vec.models.utils.atrous import dilate_stages, stage_stride
from mmimg2vec.models.utils.diversity import token_diversity
from mmimg2vec.models.utils.tokens import (
    SUPERVISIONS,
    check_heads,
    check_mask,
    compared_positions,
    count_compared,
    count_hidden,
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
    'count_hidden',
    'dilate_stages',
    'gather_tokens',
    'map_to_tokens',
    'sincos_position_embedding',
    'split_indices',
    'stage_stride',
    'token_diversity',
]
