"""Attentive probe of a frozen ViT-L/16, ImageNet-1k, 90 epochs.

Recipe: attentive probing of the first CAE (arXiv 2202.03026), as its official code has it. Not measured here.
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/classification/vit-large-p16_8xb1024-attentive-coslr-90e_in1k.py 8
"""

_base_ = ['vit-base-p16_8xb1024-attentive-coslr-90e_in1k.py']

model = dict(backbone=dict(arch='large'), neck=dict(in_channels=1024, num_heads=16), head=dict(in_channels=1024))
