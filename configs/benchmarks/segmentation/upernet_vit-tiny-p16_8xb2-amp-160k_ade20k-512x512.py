"""UPerNet on ViT-Ti/16, ADE20K, 160k iterations.

Recipe: the project's choice for CAE v2's smallest ViT (arXiv 2211.09799).
Not measured here. `tools/test.py ... --tta` tests at six sizes and flipped.
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/segmentation/upernet_vit-tiny-p16_8xb2-amp-160k_ade20k-512x512.py 8
"""

_base_ = ['upernet_vit-base-p16_8xb2-amp-160k_ade20k-512x512.py']

model = dict(
    backbone=dict(arch='deit-tiny', drop_path_rate=0.0),
    neck=dict(embed_dim=192),
    decode_head=dict(in_channels=[192] * 4, channels=192),
    auxiliary_head=dict(in_channels=192),
)
optim_wrapper = dict(optimizer=dict(lr=2e-4), paramwise_cfg=dict(layer_decay_rate=0.85))
