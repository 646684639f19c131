"""Mask R-CNN on ViTDet-B from MFF, COCO, 12 epochs on one machine.

Recipe: the project's choice for 8 GPUs of one machine: 12 epochs of multi-scale training, the rest as ViTDet
(arXiv 2203.16527). Paper: arXiv 2308.00261. No figure is known for it, and none was measured here.
Starts from the backbone.pth of mff_vit-base-p16_8xb512-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/mff/benchmarks/detection/mask-rcnn_vitdet-base-p16-sfp_mff-pre_8xb2-ms-1x_coco.py 8
"""

_base_ = [
    '../../../_base_/models/mask-rcnn_vitdet.py',
    '../../../_base_/datasets/coco_ms.py',
    '../../../_base_/schedules/vitdet_adamw_1x.py',
    '../../../_base_/downstream_runtime.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/mff_vit-base-p16_8xb512-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
)
default_hooks = dict(visualization=dict(type='DetVisualizationHook'))
