from mmimg2vec.models.utils.tokens import (
    SUPERVISIONS,
    TokenMask,
    check_heads,
    gather_tokens,
    map_to_tokens,
    repeat_images,
    sincos_position_embedding,
    token_diversity,
)

__all__ = [
    'SUPERVISIONS',
    'TokenMask',
    'check_heads',
    'gather_tokens',
    'map_to_tokens',
    'repeat_images',
    'sincos_position_embedding',
    'token_diversity',
]
