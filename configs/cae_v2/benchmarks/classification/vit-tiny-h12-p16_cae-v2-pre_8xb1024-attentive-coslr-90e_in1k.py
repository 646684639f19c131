"""Attentive probe of CAE v2's frozen ViT-Ti/16 with 12 heads, ImageNet-1k, 90 epochs.

Recipe: attentive probing of the first CAE (arXiv 2202.03026), as its official code has it. CAE v2 (arXiv 2211.09799) released
none: the project's choice. Expected figure: not recorded here, and not measured.
Starts from the backbone.pth of cae-v2_vit-tiny-h12-p16_8xb256-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/cae_v2/benchmarks/classification/vit-tiny-h12-p16_cae-v2-pre_8xb1024-attentive-coslr-90e_in1k.py 8
"""

_base_ = ['vit-base-p16_cae-v2-pre_8xb1024-attentive-coslr-90e_in1k.py']

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=192, num_layers=12, num_heads=12, feedforward_channels=768),
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/cae-v2_vit-tiny-h12-p16_8xb256-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
    neck=dict(in_channels=192),
    head=dict(in_channels=192),
)
