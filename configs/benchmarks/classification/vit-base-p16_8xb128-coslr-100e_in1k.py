"""ViT-B/16 fine-tuned on ImageNet-1k, 100 epochs.

Recipe: MAE's (arXiv 2111.06377, appendix A.1), with which MAE itself reports 83.6 %; mmpretrain's of MFF is the same.
Not measured here.
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/classification/vit-base-p16_8xb128-coslr-100e_in1k.py 8
"""

_base_ = [
    '../../_base_/models/vit_finetune.py',
    '../../_base_/datasets/imagenet_finetune.py',
    '../../_base_/datasets/imagenet_val.py',
    '../../_base_/schedules/finetune_adamw_coslr_100e.py',
    '../../_base_/downstream_runtime.py',
]
