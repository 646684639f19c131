"""Mask R-CNN on ViTDet-L, COCO, large-scale jitter, 100 epochs.

Recipe: ViTDet's (arXiv 2203.16527), which reports box AP 55.5 and mask AP 49.2 from MAE weights.
Not measured here.
Starts from the backbone.pth of img2vec_vit-large-p16_8xb256-amp-coslr-800e_in1k;
environment variable IMG2VEC_BACKBONE names another.
With fewer than 64 GPUs the learning rate follows the batch.
Run: NNODES=8 NODE_RANK=0 MASTER_ADDR=HOST bash tools/dist_train.sh \
    configs/img2vec/benchmarks/detection/mask-rcnn_vitdet-large-p16-sfp_64xb1-lsj-100e_coco.py 8
"""

_base_ = [
    '../../../_base_/models/mask-rcnn_vitdet.py',
    '../../../_base_/datasets/coco_lsj.py',
    '../../../_base_/schedules/vitdet_adamw_100e.py',
    '../../../_base_/downstream_runtime.py',
]

model = dict(
    data_preprocessor=dict(pad_size_divisor=1024),  # every image is 1024 x 1024
    backbone=dict(
        arch='large',
        drop_path_rate=0.4,
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/img2vec_vit-large-p16_8xb256-amp-coslr-800e_in1k/backbone.pth}}'
        ),
    ),
    neck=dict(in_channels=1024),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
default_hooks = dict(visualization=dict(type='DetVisualizationHook'))
