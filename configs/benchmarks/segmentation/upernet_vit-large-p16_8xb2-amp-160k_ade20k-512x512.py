"""UPerNet on ViT-L/16, ADE20K, 160k iterations.

Recipe: MAE's (arXiv 2111.06377) with a layer decay of 0.95; CAE v2 (arXiv 2211.09799) reports 55.9 mIoU for its own.
Not measured here. `tools/test.py ... --tta` tests at six sizes and flipped.
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/segmentation/upernet_vit-large-p16_8xb2-amp-160k_ade20k-512x512.py 8
"""

_base_ = ['upernet_vit-base-p16_8xb2-amp-160k_ade20k-512x512.py']

model = dict(
    backbone=dict(arch='large', out_indices=(7, 11, 15, 23), drop_path_rate=0.2),
    neck=dict(embed_dim=1024),
    decode_head=dict(in_channels=[1024] * 4, channels=1024),
    auxiliary_head=dict(in_channels=1024),
)
optim_wrapper = dict(optimizer=dict(lr=4e-5), paramwise_cfg=dict(layer_decay_rate=0.95))
