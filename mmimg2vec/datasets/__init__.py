from mmimg2vec.datasets.captions import CaptionDataset
from mmimg2vec.datasets.errors import DataError, UnreadableImage
from mmimg2vec.datasets.sampling import DrawKey, SeededSampler
from mmimg2vec.datasets.seeded import SeededDataset
from mmimg2vec.datasets.transforms import (
    BlockTokenMask,
    LoadImage,
    PackMaskedInputs,
    RandomTokenMask,
)

__all__ = [
    'BlockTokenMask',
    'CaptionDataset',
    'DataError',
    'DrawKey',
    'LoadImage',
    'PackMaskedInputs',
    'RandomTokenMask',
    'SeededDataset',
    'SeededSampler',
    'UnreadableImage',
]
