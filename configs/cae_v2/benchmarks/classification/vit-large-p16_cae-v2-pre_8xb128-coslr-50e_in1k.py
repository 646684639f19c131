"""CAE v2's ViT-L/16 fine-tuned on ImageNet-1k, 50 epochs.

Paper: arXiv 2211.09799 reports 86.7 % for its ViT-L, and no recipe of this size was released. The project's choice: MAE's
epochs and drop path for ViT-L (arXiv 2111.06377), the learning rate of CAE v2's ViT-B, layer decay 0.8. Not measured here.
Starts from the backbone.pth of cae-v2_vit-large-p16_8xb256-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/cae_v2/benchmarks/classification/vit-large-p16_cae-v2-pre_8xb128-coslr-50e_in1k.py 8
"""

_base_ = [
    '../../../_base_/models/vit_finetune.py',
    '../../../_base_/datasets/imagenet_finetune.py',
    '../../../_base_/schedules/finetune_adamw_coslr_50e.py',
    '../../../_base_/downstream_runtime.py',
]

model = dict(
    backbone=dict(
        arch='large',
        drop_path_rate=0.2,
        layer_scale_init_value=1e-5,  # as in pre-training; the checkpoint has these weights
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/cae-v2_vit-large-p16_8xb256-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
    head=dict(in_channels=1024),
)
# For the total batch of 8 x 128 images.
optim_wrapper = dict(optimizer=dict(lr=2e-4), paramwise_cfg=dict(layer_decay_rate=0.8))
