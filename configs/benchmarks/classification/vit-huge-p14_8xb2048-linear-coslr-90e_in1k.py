"""Linear classifier on a frozen ViT-H/14, ImageNet-1k, 90 epochs.

Recipe: MAE's (arXiv 2111.06377, appendix A.1), with which MAE itself reports 77.2 %. Not measured here.
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/classification/vit-huge-p14_8xb2048-linear-coslr-90e_in1k.py 8
"""

_base_ = ['vit-base-p16_8xb2048-linear-coslr-90e_in1k.py']

model = dict(
    backbone=dict(arch='huge', patch_size=14, frozen_stages=32),
    neck=dict(input_features=1280),
    head=dict(in_channels=1280),
)
