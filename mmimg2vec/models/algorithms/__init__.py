from mmimg2vec.models.algorithms.base import MaskedImageModel
from mmimg2vec.models.algorithms.img2vec import Img2Vec

__all__ = ['Img2Vec', 'MaskedImageModel']
