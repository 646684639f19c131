"""UPerNet on ViT-S/16, ADE20K, 160k iterations.

Recipe: that of ViT-B (MAE, arXiv 2111.06377) with a layer decay of 0.75, the project's choice.
Not measured here. `tools/test.py ... --tta` tests at six sizes and flipped.
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/segmentation/upernet_vit-small-p16_8xb2-amp-160k_ade20k-512x512.py 8
"""

_base_ = ['upernet_vit-base-p16_8xb2-amp-160k_ade20k-512x512.py']

model = dict(
    backbone=dict(arch='deit-small'),  # 384 wide; mmpretrain's 'small' is another one
    neck=dict(embed_dim=384),
    decode_head=dict(in_channels=[384] * 4, channels=384),
    auxiliary_head=dict(in_channels=384),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.75))
