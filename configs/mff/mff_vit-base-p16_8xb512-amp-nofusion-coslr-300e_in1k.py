"""Ablation: the decoder reads the last block alone. This is MAE, on MFF's augmentation.

Paper: arXiv 2308.00261. An ablation; not measured here.
Run: bash tools/dist_train.sh configs/mff/mff_vit-base-p16_8xb512-amp-nofusion-coslr-300e_in1k.py 8
"""

_base_ = ['mff_vit-base-p16_8xb512-amp-coslr-300e_in1k.py']

model = dict(fusion=None)
