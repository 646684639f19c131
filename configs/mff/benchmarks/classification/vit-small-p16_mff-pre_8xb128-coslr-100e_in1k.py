"""MFF's ViT-S/16 fine-tuned on ImageNet-1k, 100 epochs.

Paper: arXiv 2308.00261 reports +1.2 points over MAE for its ViT-S, and no recipe of this size was released: that of ViT-B
with a layer decay of 0.75 is the project's choice. Not measured here.
Starts from the backbone.pth of mff_vit-small-p16_8xb512-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/mff/benchmarks/classification/vit-small-p16_mff-pre_8xb128-coslr-100e_in1k.py 8
"""

_base_ = ['vit-base-p16_mff-pre_8xb128-coslr-100e_in1k.py']

model = dict(
    backbone=dict(
        arch='deit-small',  # 384 wide; mmpretrain's 'small' is another one
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/mff_vit-small-p16_8xb512-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
    head=dict(in_channels=384),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.75))
