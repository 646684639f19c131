"""Attentive probe of a frozen ViT-B/16, ImageNet-1k, 90 epochs.

Recipe: attentive probing of the first CAE (arXiv 2202.03026), as its official code has it. Not measured here.
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/classification/vit-base-p16_8xb1024-attentive-coslr-90e_in1k.py 8
"""

_base_ = [
    '../../_base_/models/vit_attentive.py',
    '../../_base_/datasets/imagenet_linear.py',
    '../../_base_/datasets/imagenet_val.py',
    '../../_base_/schedules/attentive_sgd_coslr_90e.py',
    '../../_base_/downstream_runtime.py',
]

train_dataloader = dict(batch_size=1024)
val_dataloader = test_dataloader = dict(batch_size=256)
