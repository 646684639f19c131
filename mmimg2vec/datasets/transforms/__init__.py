from mmimg2vec.datasets.transforms.loading import LoadImage
from mmimg2vec.datasets.transforms.masking import RandomTokenMask, random_token_mask
from mmimg2vec.datasets.transforms.packing import PackMaskedInputs

__all__ = ['LoadImage', 'PackMaskedInputs', 'RandomTokenMask', 'random_token_mask']
