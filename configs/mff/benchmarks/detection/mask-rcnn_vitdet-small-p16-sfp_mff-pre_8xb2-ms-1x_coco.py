"""Mask R-CNN on ViTDet-S from MFF, COCO, 12 epochs on one machine.

Recipe: the project's choice, as that of ViT-B. Paper: arXiv 2308.00261. No figure is known for it, and none was measured
here.
Starts from the backbone.pth of mff_vit-small-p16_8xb512-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/mff/benchmarks/detection/mask-rcnn_vitdet-small-p16-sfp_mff-pre_8xb2-ms-1x_coco.py 8
"""

_base_ = ['mask-rcnn_vitdet-base-p16-sfp_mff-pre_8xb2-ms-1x_coco.py']

model = dict(
    backbone=dict(
        arch='deit-small',  # 384 wide; mmpretrain's 'small' is another one
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/mff_vit-small-p16_8xb512-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
    neck=dict(in_channels=384),
)
