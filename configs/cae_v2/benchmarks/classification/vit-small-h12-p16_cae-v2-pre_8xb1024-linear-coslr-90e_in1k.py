"""Linear classifier on CAE v2's frozen ViT-S/16 with 12 heads, ImageNet-1k, 90 epochs.

Recipe: the official code's of this size (CAE v2, arXiv 2211.09799), which is MAE's at half the batch.
Expected figure: not recorded here, and not measured.
Starts from the backbone.pth of cae-v2_vit-small-h12-p16_8xb256-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/cae_v2/benchmarks/classification/vit-small-h12-p16_cae-v2-pre_8xb1024-linear-coslr-90e_in1k.py 8
"""

_base_ = ['vit-base-p16_cae-v2-pre_8xb1024-linear-coslr-90e_in1k.py']

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=384, num_layers=12, num_heads=12, feedforward_channels=1536),
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/cae-v2_vit-small-h12-p16_8xb256-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
    neck=dict(input_features=384),
    head=dict(in_channels=384),
)
