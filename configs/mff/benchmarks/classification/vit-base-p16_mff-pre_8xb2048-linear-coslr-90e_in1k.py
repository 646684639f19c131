"""Linear classifier on MFF's frozen ViT-B/16, ImageNet-1k, 90 epochs.

Recipe: mmpretrain's for MFF (arXiv 2308.00261), which is MAE's (arXiv 2111.06377, appendix A.1). It reports 64.2 % after 300
epochs of pre-training and 68.3 % after 800. Not measured here.
Starts from the backbone.pth of mff_vit-base-p16_8xb512-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/mff/benchmarks/classification/vit-base-p16_mff-pre_8xb2048-linear-coslr-90e_in1k.py 8
"""

_base_ = [
    '../../../_base_/models/vit_linear.py',
    '../../../_base_/datasets/imagenet_linear.py',
    '../../../_base_/schedules/linear_lars_coslr_90e.py',
    '../../../_base_/downstream_runtime.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/mff_vit-base-p16_8xb512-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
)
