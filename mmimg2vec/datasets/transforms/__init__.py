from mmimg2vec.datasets.transforms.block_masking import BlockTokenMask, block_token_mask
from mmimg2vec.datasets.transforms.loading import LoadImage, LoadRandomResizedCrop
from mmimg2vec.datasets.transforms.masking import PackMaskedInputs, RandomTokenMask, random_token_mask

__all__ = [
    'BlockTokenMask',
    'LoadImage',
    'LoadRandomResizedCrop',
    'PackMaskedInputs',
    'RandomTokenMask',
    'block_token_mask',
    'random_token_mask',
]
