"""ViT-S/16 fine-tuned on ImageNet-1k, 100 epochs.

Paper: arXiv 2304.12535 has no ViT-S, nor has MAE: the recipe is MAE's of ViT-B with a layer decay of 0.75, the project's
choice. Not measured here.
Starts from the backbone.pth of img2vec_vit-small-p16_8xb256-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/img2vec/benchmarks/classification/vit-small-p16_8xb128-coslr-100e_in1k.py 8
"""

_base_ = [
    '../../../_base_/models/vit_finetune.py',
    '../../../_base_/datasets/imagenet_finetune.py',
    '../../../_base_/schedules/finetune_adamw_coslr_100e.py',
    '../../../_base_/downstream_runtime.py',
]

model = dict(
    backbone=dict(
        arch='deit-small',  # 384 wide; mmpretrain's 'small' is another one
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/img2vec_vit-small-p16_8xb256-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
    head=dict(in_channels=384),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.75))
