"""CAE v2's ViT-Ti/16 with 12 heads, fine-tuned on ImageNet-1k, 100 epochs.

Recipe: the official code's of this size (arXiv 2211.09799), as that of ViT-B beside it.
Expected figure: not recorded here, and not measured.
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/classification/vit-tiny-h12-p16_cae-v2-pre_8xb128-coslr-100e_in1k.py 8
"""

_base_ = ['vit-base-p16_cae-v2-pre_8xb128-coslr-100e_in1k.py']

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=192, num_layers=12, num_heads=12, feedforward_channels=768),
        drop_path_rate=0.0,
    ),
    head=dict(
        in_channels=192,
        # No smoothing; use_soft for the labels of mixed images.
        loss=dict(_delete_=True, type='CrossEntropyLoss', use_soft=True),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.2)]),
)
optim_wrapper = dict(optimizer=dict(lr=4e-3), paramwise_cfg=dict(layer_decay_rate=0.85))
_base_.param_scheduler[1].eta_min_ratio = 1e-6 / 4e-3
