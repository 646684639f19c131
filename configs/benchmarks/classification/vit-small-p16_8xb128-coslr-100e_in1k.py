"""ViT-S/16 fine-tuned on ImageNet-1k, 100 epochs.

Recipe: MAE's of ViT-B (arXiv 2111.06377) with a layer decay of 0.75, the project's choice: MAE has no ViT-S.
Not measured here.
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/classification/vit-small-p16_8xb128-coslr-100e_in1k.py 8
"""

_base_ = ['vit-base-p16_8xb128-coslr-100e_in1k.py']

model = dict(
    backbone=dict(arch='deit-small'),  # 384 wide; mmpretrain's 'small' is another one
    head=dict(in_channels=384),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.75))
