"""Linear classifier on CAE v2's frozen ViT-L/16, ImageNet-1k, 90 epochs.

Recipe: that of ViT-B, the project's choice. Paper: arXiv 2211.09799 reports 81.7 % for its ViT-L. Not measured here.
Starts from the backbone.pth of cae-v2_vit-large-p16_8xb256-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/cae_v2/benchmarks/classification/vit-large-p16_cae-v2-pre_8xb1024-linear-coslr-90e_in1k.py 8
"""

_base_ = ['vit-base-p16_cae-v2-pre_8xb1024-linear-coslr-90e_in1k.py']

model = dict(
    backbone=dict(
        arch='large',
        frozen_stages=24,
        layer_scale_init_value=1e-5,  # as in pre-training; the checkpoint has these weights
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/cae-v2_vit-large-p16_8xb256-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
    neck=dict(input_features=1024),
    head=dict(in_channels=1024),
)
