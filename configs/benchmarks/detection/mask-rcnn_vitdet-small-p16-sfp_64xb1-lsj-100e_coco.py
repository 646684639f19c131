"""Mask R-CNN on ViTDet-S, COCO, large-scale jitter, 100 epochs.

Recipe: that of ViTDet-B (arXiv 2203.16527), the project's choice: the paper has no ViT-S.
Not measured here. With fewer than 64 GPUs the learning rate follows the batch.
Run: IMG2VEC_BACKBONE=backbone.pth NNODES=8 NODE_RANK=0 MASTER_ADDR=HOST bash tools/dist_train.sh \
    configs/benchmarks/detection/mask-rcnn_vitdet-small-p16-sfp_64xb1-lsj-100e_coco.py 8
"""

_base_ = ['mask-rcnn_vitdet-base-p16-sfp_64xb1-lsj-100e_coco.py']

model = dict(
    backbone=dict(arch='deit-small'),  # 384 wide; mmpretrain's 'small' is another one
    neck=dict(in_channels=384),
)
