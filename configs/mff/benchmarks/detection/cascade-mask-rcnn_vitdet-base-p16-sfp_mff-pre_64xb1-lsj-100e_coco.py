"""Cascade Mask R-CNN on ViTDet-B from MFF, COCO, large-scale jitter, 100 epochs.

Recipe: ViTDet's (arXiv 2203.16527), which reports box AP 54.0 and mask AP 46.7 from MAE weights.
Paper: arXiv 2308.00261; no detection recipe was released, so this is the project's choice. Not measured here.
Starts from the backbone.pth of mff_vit-base-p16_8xb512-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
With fewer than 64 GPUs the learning rate follows the batch.
Run: NNODES=8 NODE_RANK=0 MASTER_ADDR=HOST bash tools/dist_train.sh \
    configs/mff/benchmarks/detection/cascade-mask-rcnn_vitdet-base-p16-sfp_mff-pre_64xb1-lsj-100e_coco.py 8
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
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/mff_vit-base-p16_8xb512-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
)
default_hooks = dict(visualization=dict(type='DetVisualizationHook'))
