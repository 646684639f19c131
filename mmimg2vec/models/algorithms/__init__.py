from mmimg2vec.models.algorithms.cae_v2 import CAEv2
from mmimg2vec.models.algorithms.clip import CLIP
from mmimg2vec.models.algorithms.masked_image_model import Img2Vec, MaskedImageModel
from mmimg2vec.models.algorithms.mff import MFF

__all__ = ['CLIP', 'MFF', 'CAEv2', 'Img2Vec', 'MaskedImageModel']
