"""Mask R-CNN on ViTDet-L, COCO, 12 epochs on one machine.

Recipe: the project's choice for 8 GPUs of one machine: 12 epochs of multi-scale training, the rest as ViTDet
(arXiv 2203.16527). No figure is known for it, and none was measured here.
Starts from the backbone.pth of img2vec_vit-large-p16_8xb256-amp-coslr-800e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/img2vec/benchmarks/detection/mask-rcnn_vitdet-large-p16-sfp_8xb2-ms-1x_coco.py 8
"""

_base_ = [
    '../../../_base_/models/mask-rcnn_vitdet.py',
    '../../../_base_/datasets/coco_ms.py',
    '../../../_base_/schedules/vitdet_adamw_1x.py',
    '../../../_base_/downstream_runtime.py',
]

model = dict(
    backbone=dict(
        arch='large',
        drop_path_rate=0.2,  # less than in 100 epochs
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/img2vec_vit-large-p16_8xb256-amp-coslr-800e_in1k/backbone.pth}}'
        ),
    ),
    neck=dict(in_channels=1024),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
default_hooks = dict(visualization=dict(type='DetVisualizationHook'))
