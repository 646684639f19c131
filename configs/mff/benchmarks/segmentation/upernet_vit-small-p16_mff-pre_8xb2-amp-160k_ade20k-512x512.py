"""UPerNet on MFF's ViT-S/16, ADE20K, 160k iterations.

Recipe: that of ViT-B with a layer decay of 0.75, the project's choice.
Paper: arXiv 2308.00261 reports +2.6 mIoU over MAE for its ViT-S. Not measured here.
Starts from the backbone.pth of mff_vit-small-p16_8xb512-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/mff/benchmarks/segmentation/upernet_vit-small-p16_mff-pre_8xb2-amp-160k_ade20k-512x512.py 8
"""

_base_ = [
    '../../../_base_/models/upernet_vit.py',
    '../../../_base_/datasets/ade20k_512x512.py',
    '../../../_base_/schedules/upernet_adamw_160k.py',
    '../../../_base_/downstream_runtime.py',
]

model = dict(
    backbone=dict(
        arch='deit-small',  # 384 wide; mmpretrain's 'small' is another one
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/mff_vit-small-p16_8xb512-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
    neck=dict(embed_dim=384),
    decode_head=dict(in_channels=[384] * 4, channels=384),
    auxiliary_head=dict(in_channels=384),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.75))
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=4000),
    visualization=dict(type='SegVisualizationHook'),
)
