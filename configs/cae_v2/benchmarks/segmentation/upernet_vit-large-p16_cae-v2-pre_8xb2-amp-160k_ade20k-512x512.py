"""UPerNet on CAE v2's ViT-L/16, ADE20K, 160k iterations.

Paper: arXiv 2211.09799 reports 55.9 mIoU for its ViT-L, and no recipe was released. The project's choice: MAE's
(arXiv 2111.06377, appendix A.4) with the rates that are usual for ViT-L: 4e-5, layer decay 0.95, drop path 0.2. Not measured
here.
Starts from the backbone.pth of cae-v2_vit-large-p16_8xb256-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/cae_v2/benchmarks/segmentation/upernet_vit-large-p16_cae-v2-pre_8xb2-amp-160k_ade20k-512x512.py 8
"""

_base_ = [
    '../../../_base_/models/upernet_vit.py',
    '../../../_base_/datasets/ade20k_512x512.py',
    '../../../_base_/schedules/upernet_adamw_160k.py',
    '../../../_base_/downstream_runtime.py',
]

model = dict(
    backbone=dict(
        arch='large',
        out_indices=(7, 11, 15, 23),
        drop_path_rate=0.2,
        layer_scale_init_value=1e-5,  # as in pre-training; the checkpoint has these weights
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/cae-v2_vit-large-p16_8xb256-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
    neck=dict(embed_dim=1024),
    decode_head=dict(in_channels=[1024] * 4, channels=1024),
    auxiliary_head=dict(in_channels=1024),
)
optim_wrapper = dict(optimizer=dict(lr=4e-5), paramwise_cfg=dict(layer_decay_rate=0.95))
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=4000),
    visualization=dict(type='SegVisualizationHook'),
)
