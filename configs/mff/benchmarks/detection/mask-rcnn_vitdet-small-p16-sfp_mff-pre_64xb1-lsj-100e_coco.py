"""Mask R-CNN on ViTDet-S from MFF, COCO, large-scale jitter, 100 epochs.

Recipe: that of ViTDet-B (arXiv 2203.16527), which has no ViT-S: the project's choice.
Paper: arXiv 2308.00261. Not measured here.
Starts from the backbone.pth of mff_vit-small-p16_8xb512-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
With fewer than 64 GPUs the learning rate follows the batch.
Run: NNODES=8 NODE_RANK=0 MASTER_ADDR=HOST bash tools/dist_train.sh \
    configs/mff/benchmarks/detection/mask-rcnn_vitdet-small-p16-sfp_mff-pre_64xb1-lsj-100e_coco.py 8
"""

_base_ = ['mask-rcnn_vitdet-base-p16-sfp_mff-pre_64xb1-lsj-100e_coco.py']

model = dict(
    backbone=dict(
        arch='deit-small',  # 384 wide; mmpretrain's 'small' is another one
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/mff_vit-small-p16_8xb512-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
    neck=dict(in_channels=384),
)
