"""Cascade Mask R-CNN on ViTDet-B from CAE v2, COCO, large-scale jitter, 100 epochs.

Recipe: ViTDet's (arXiv 2203.16527), which reports box AP 54.0 and mask AP 46.7 from MAE weights.
Paper: arXiv 2211.09799; no detection recipe was released, so this is the project's choice. Not measured here.
Starts from the backbone.pth of cae-v2_vit-base-p16_8xb256-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
With fewer than 64 GPUs the learning rate follows the batch.
Run: NNODES=8 NODE_RANK=0 MASTER_ADDR=HOST bash tools/dist_train.sh \
    configs/cae_v2/benchmarks/detection/cascade-mask-rcnn_vitdet-base-p16-sfp_cae-v2-pre_64xb1-lsj-100e_coco.py 8
"""

_base_ = [
    '../../../_base_/models/cascade-mask-rcnn_vitdet.py',
    '../../../_base_/datasets/coco_lsj.py',
    '../../../_base_/schedules/vitdet_adamw_100e.py',
    '../../../_base_/downstream_runtime.py',
]

model = dict(
    data_preprocessor=dict(pad_size_divisor=1024),  # every image is 1024 x 1024
    backbone=dict(
        layer_scale_init_value=0.1,  # the checkpoint has these weights
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/cae-v2_vit-base-p16_8xb256-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
)
default_hooks = dict(visualization=dict(type='DetVisualizationHook'))
