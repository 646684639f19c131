"""UPerNet on MFF's ViT-B/16, ADE20K, 160k iterations.

Recipe: MAE's (arXiv 2111.06377, appendix A.4), which reports 48.1 mIoU; no recipe of MFF (arXiv 2308.00261) was released, so
this is the project's choice. Not measured here.
Starts from the backbone.pth of mff_vit-base-p16_8xb512-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/mff/benchmarks/segmentation/upernet_vit-base-p16_mff-pre_8xb2-amp-160k_ade20k-512x512.py 8
"""

_base_ = [
    '../../../_base_/models/upernet_vit.py',
    '../../../_base_/datasets/ade20k_512x512.py',
    '../../../_base_/schedules/upernet_adamw_160k.py',
    '../../../_base_/downstream_runtime.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/mff_vit-base-p16_8xb512-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=4000),
    visualization=dict(type='SegVisualizationHook'),
)
