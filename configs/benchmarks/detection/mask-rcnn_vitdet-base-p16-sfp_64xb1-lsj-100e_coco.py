"""Mask R-CNN on ViTDet-B, COCO, large-scale jitter, 100 epochs.

Recipe: ViTDet's (arXiv 2203.16527), which reports box AP 51.6 and mask AP 45.9 from MAE weights.
Paper: arXiv 2304.12535 reports 51.8 AP for its ViT-B, detector not stated.
Not measured here. With fewer than 64 GPUs the learning rate follows the batch.
Run: IMG2VEC_BACKBONE=backbone.pth NNODES=8 NODE_RANK=0 MASTER_ADDR=HOST bash tools/dist_train.sh \
    configs/benchmarks/detection/mask-rcnn_vitdet-base-p16-sfp_64xb1-lsj-100e_coco.py 8
"""

_base_ = [
    '../../_base_/models/mask-rcnn_vitdet.py',
    '../../_base_/datasets/coco_lsj.py',
    '../../_base_/schedules/vitdet_adamw_100e.py',
    '../../_base_/downstream_runtime.py',
]

model = dict(data_preprocessor=dict(pad_size_divisor=1024))  # every image is 1024 x 1024
default_hooks = dict(visualization=dict(type='DetVisualizationHook'))
