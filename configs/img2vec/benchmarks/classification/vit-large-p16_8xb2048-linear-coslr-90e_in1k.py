"""Linear classifier on a frozen ViT-L/16, ImageNet-1k, 90 epochs.

Recipe: MAE's (arXiv 2111.06377, appendix A.1), with which MAE itself reports 76.0 %. Not measured here.
Starts from the backbone.pth of img2vec_vit-large-p16_8xb256-amp-coslr-800e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/img2vec/benchmarks/classification/vit-large-p16_8xb2048-linear-coslr-90e_in1k.py 8
"""

_base_ = [
    '../../../_base_/models/vit_linear.py',
    '../../../_base_/datasets/imagenet_linear.py',
    '../../../_base_/schedules/linear_lars_coslr_90e.py',
    '../../../_base_/downstream_runtime.py',
]

model = dict(
    backbone=dict(
        arch='large',
        frozen_stages=24,
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/img2vec_vit-large-p16_8xb256-amp-coslr-800e_in1k/backbone.pth}}'
        ),
    ),
    neck=dict(input_features=1024),
    head=dict(in_channels=1024),
)
