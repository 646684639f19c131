"""Img2Vec, ViT-S/16, on unlabeled images of your own, one GPU.

Paper: arXiv 2304.12535. Not measured here.
The folder of images: `images` in the config of ViT-B, or the environment variable IMG2VEC_IMAGES.
An epoch of few images has few steps: give a small folder more epochs (configs/img2vec/README.md, "Images of your own").
Run: python tools/train.py configs/img2vec/img2vec_vit-small-p16_1xb256-amp-coslr-300e_own-images.py
"""

_base_ = ['img2vec_vit-base-p16_1xb256-amp-coslr-300e_own-images.py']

model = dict(backbone=dict(arch='deit-small'))  # 384 wide, as in the literature; mmpretrain's 'small' is another one
