"""CAE v2's ViT-S/16 with 12 heads, fine-tuned on ImageNet-1k, 200 epochs.

Recipe: the official code's of this size (CAE v2, arXiv 2211.09799); but position embeddings are trained here, there they are
fixed. Expected figure: not recorded here, and not measured.
Starts from the backbone.pth of cae-v2_vit-small-h12-p16_8xb256-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/cae_v2/benchmarks/classification/vit-small-h12-p16_cae-v2-pre_8xb128-coslr-200e_in1k.py 8
"""

_base_ = ['vit-base-p16_cae-v2-pre_8xb128-coslr-100e_in1k.py']

max_epochs = 200
warmup_epochs = 20

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=384, num_layers=12, num_heads=12, feedforward_channels=1536),
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/cae-v2_vit-small-h12-p16_8xb256-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
    head=dict(in_channels=384),
)
optim_wrapper = dict(optimizer=dict(lr=4e-4))
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-4,
        by_epoch=True,
        begin=0,
        end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-6,
        by_epoch=True,
        begin=warmup_epochs,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=max_epochs)
