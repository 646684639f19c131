"""Mask R-CNN on ViTDet-B from CAE v2, COCO, 12 epochs on one machine.

Recipe: the project's choice for 8 GPUs of one machine: 12 epochs of multi-scale training, the rest as ViTDet
(arXiv 2203.16527). Paper: arXiv 2211.09799. No figure is known for it, and none was measured here.
Starts from the backbone.pth of cae-v2_vit-base-p16_8xb256-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/cae_v2/benchmarks/detection/mask-rcnn_vitdet-base-p16-sfp_cae-v2-pre_8xb2-ms-1x_coco.py 8
"""

_base_ = [
    '../../../_base_/models/mask-rcnn_vitdet.py',
    '../../../_base_/datasets/coco_ms.py',
    '../../../_base_/schedules/vitdet_adamw_1x.py',
    '../../../_base_/downstream_runtime.py',
]

model = dict(
    backbone=dict(
        layer_scale_init_value=0.1,  # the checkpoint has these weights
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/cae-v2_vit-base-p16_8xb256-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
)
default_hooks = dict(visualization=dict(type='DetVisualizationHook'))
