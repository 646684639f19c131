"""Images in, pictures out: classification, detection and segmentation with the libraries' own inferencers."""

from mmimg2vec.inference.predict import infer

__all__ = ['infer']
