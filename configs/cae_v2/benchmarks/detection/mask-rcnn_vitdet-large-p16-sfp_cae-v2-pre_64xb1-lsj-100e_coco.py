"""Mask R-CNN on ViTDet-L from CAE v2, COCO, large-scale jitter, 100 epochs.

Recipe: ViTDet's (arXiv 2203.16527), which reports box AP 55.5 and mask AP 49.2 from MAE weights.
Paper: arXiv 2211.09799; no detection recipe was released, so this is the project's choice. Not measured here.
Starts from the backbone.pth of cae-v2_vit-large-p16_8xb256-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
With fewer than 64 GPUs the learning rate follows the batch.
Run: NNODES=8 NODE_RANK=0 MASTER_ADDR=HOST bash tools/dist_train.sh \
    configs/cae_v2/benchmarks/detection/mask-rcnn_vitdet-large-p16-sfp_cae-v2-pre_64xb1-lsj-100e_coco.py 8
"""

_base_ = ['mask-rcnn_vitdet-base-p16-sfp_cae-v2-pre_64xb1-lsj-100e_coco.py']

model = dict(
    backbone=dict(
        arch='large',
        drop_path_rate=0.4,
        layer_scale_init_value=1e-5,  # as in pre-training; the checkpoint has these weights
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/cae-v2_vit-large-p16_8xb256-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
    neck=dict(in_channels=1024),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
