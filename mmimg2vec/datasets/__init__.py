from mmimg2vec.datasets.captions import CaptionDataset
from mmimg2vec.datasets.errors import DataError, UnreadableImage
from mmimg2vec.datasets.evaluated import EvaluationDataset
from mmimg2vec.datasets.seeded import DrawKey, SeededDataset, SeededSampler
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
    'EvaluationDataset',
    'LoadImage',
    'PackMaskedInputs',
    'RandomTokenMask',
    'SeededDataset',
    'SeededSampler',
    'UnreadableImage',
]
