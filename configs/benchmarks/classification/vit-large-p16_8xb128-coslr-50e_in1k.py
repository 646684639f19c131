"""ViT-L/16 fine-tuned on ImageNet-1k, 50 epochs.

Recipe: MAE's (arXiv 2111.06377, appendix A.1), with which MAE itself reports 85.9 %. Not measured here.
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/classification/vit-large-p16_8xb128-coslr-50e_in1k.py 8
"""

_base_ = [
    '../../_base_/models/vit_finetune.py',
    '../../_base_/datasets/imagenet_finetune.py',
    '../../_base_/datasets/imagenet_val.py',
    '../../_base_/schedules/finetune_adamw_coslr_50e.py',
    '../../_base_/downstream_runtime.py',
]

model = dict(backbone=dict(arch='large', drop_path_rate=0.2), head=dict(in_channels=1024))
