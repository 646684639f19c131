from mmimg2vec.datasets.captions import CaptionDataset
from mmimg2vec.datasets.errors import DataError, UnreadableImage
from mmimg2vec.datasets.evaluated import EvaluationDataset
from mmimg2vec.datasets.hugging_face import HFImages
from mmimg2vec.datasets.seeded import DrawKey, SeededDataset, SeededSampler
from mmimg2vec.datasets.shards import ShardedImages
from mmimg2vec.datasets.transforms import (
    BlockTokenMask,
    LoadImage,
    LoadRandomResizedCrop,
    PackMaskedInputs,
    RandomTokenMask,
)

__all__ = [
    'BlockTokenMask',
    'CaptionDataset',
    'DataError',
    'DrawKey',
    'EvaluationDataset',
    'HFImages',
    'LoadImage',
    'LoadRandomResizedCrop',
    'PackMaskedInputs',
    'RandomTokenMask',
    'SeededDataset',
    'SeededSampler',
    'ShardedImages',
    'UnreadableImage',
]
