"""Cascade Mask R-CNN on ViTDet-H, COCO, large-scale jitter, 75 epochs.

Recipe: ViTDet's (arXiv 2203.16527), which reports box AP 58.7 and mask AP 51.0 from MAE weights.
Not measured here.
The backbone was pre-trained with patches of 14: its patch embedding is resized to 16.
Starts from the backbone.pth of img2vec_vit-huge-p14_8xb256-amp-coslr-800e_in1k;
environment variable IMG2VEC_BACKBONE names another.
With fewer than 64 GPUs the learning rate follows the batch.
Run: NNODES=8 NODE_RANK=0 MASTER_ADDR=HOST bash tools/dist_train.sh \
    configs/img2vec/benchmarks/detection/cascade-mask-rcnn_vitdet-huge-p16-sfp_64xb1-lsj-75e_coco.py 8
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
        arch='huge',
        drop_path_rate=0.5,
        with_cp=True,  # less memory for more time
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/img2vec_vit-huge-p14_8xb256-amp-coslr-800e_in1k/backbone.pth}}'
        ),
    ),
    neck=dict(in_channels=1280),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.9))
train_cfg = dict(max_epochs=75)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=250),
    # The drops at the same shares of the schedule as in 100 epochs.
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=75, milestones=[67, 72], gamma=0.1),
]
default_hooks = dict(visualization=dict(type='DetVisualizationHook'))
