"""UPerNet on CAE v2's ViT-B/16, ADE20K, 160k iterations.

Recipe: MAE's (arXiv 2111.06377, appendix A.4) with the learning rate of the first CAE (arXiv 2202.03026), which reports 50.3
mIoU. CAE v2 (arXiv 2211.09799) released none: the project's choice. Not measured here.
Starts from the backbone.pth of cae-v2_vit-base-p16_8xb256-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/cae_v2/benchmarks/segmentation/upernet_vit-base-p16_cae-v2-pre_8xb2-amp-160k_ade20k-512x512.py 8
"""

_base_ = [
    '../../../_base_/models/upernet_vit.py',
    '../../../_base_/datasets/ade20k_512x512.py',
    '../../../_base_/schedules/upernet_adamw_160k.py',
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
optim_wrapper = dict(optimizer=dict(lr=2e-4))
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=4000),
    visualization=dict(type='SegVisualizationHook'),
)
