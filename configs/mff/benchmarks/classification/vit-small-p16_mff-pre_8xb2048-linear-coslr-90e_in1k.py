"""Linear classifier on MFF's frozen ViT-S/16, ImageNet-1k, 90 epochs.

Recipe: that of ViT-B. Paper: arXiv 2308.00261 reports +2.8 points over MAE for its ViT-S. Not measured here.
Starts from the backbone.pth of mff_vit-small-p16_8xb512-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/mff/benchmarks/classification/vit-small-p16_mff-pre_8xb2048-linear-coslr-90e_in1k.py 8
"""

_base_ = ['vit-base-p16_mff-pre_8xb2048-linear-coslr-90e_in1k.py']

model = dict(
    backbone=dict(
        arch='deit-small',  # 384 wide; mmpretrain's 'small' is another one
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/mff_vit-small-p16_8xb512-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
    neck=dict(input_features=384),
    head=dict(in_channels=384),
)
