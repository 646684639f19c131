"""UPerNet on CAE v2's ViT-S/16 with 12 heads, ADE20K, 160k iterations.

Recipe: that of ViT-B with layer decay and drop path of this size's fine-tuning, the project's choice: CAE v2
(arXiv 2211.09799) released none. Expected figure: not recorded here, and not measured.
Starts from the backbone.pth of cae-v2_vit-small-h12-p16_8xb256-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/cae_v2/benchmarks/segmentation/upernet_vit-small-h12-p16_cae-v2-pre_8xb2-amp-160k_ade20k-512x512.py 8
"""

_base_ = [
    '../../../_base_/models/upernet_vit.py',
    '../../../_base_/datasets/ade20k_512x512.py',
    '../../../_base_/schedules/upernet_adamw_160k.py',
    '../../../_base_/downstream_runtime.py',
]

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=384, num_layers=12, num_heads=12, feedforward_channels=1536),
        layer_scale_init_value=0.1,  # the checkpoint has these weights
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/cae-v2_vit-small-h12-p16_8xb256-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
    neck=dict(embed_dim=384),
    decode_head=dict(in_channels=[384] * 4, channels=384),
    auxiliary_head=dict(in_channels=384),
)
optim_wrapper = dict(optimizer=dict(lr=2e-4), paramwise_cfg=dict(layer_decay_rate=0.75))
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=4000),
    visualization=dict(type='SegVisualizationHook'),
)
