"""Mask R-CNN on ViTDet-B, COCO, 12 epochs on one machine.

Recipe: the project's choice for 8 GPUs of one machine: 12 epochs of multi-scale training, the rest as ViTDet
(arXiv 2203.16527). No figure is known for it, and none was measured here.
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/detection/mask-rcnn_vitdet-base-p16-sfp_8xb2-ms-1x_coco.py 8
"""

_base_ = [
    '../../_base_/models/mask-rcnn_vitdet.py',
    '../../_base_/datasets/coco_ms.py',
    '../../_base_/schedules/vitdet_adamw_1x.py',
    '../../_base_/downstream_runtime.py',
]

default_hooks = dict(visualization=dict(type='DetVisualizationHook'))
