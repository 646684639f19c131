"""Linear classifier on a frozen ViT-Ti/16, ImageNet-1k, 90 epochs.

Recipe: MAE's (arXiv 2111.06377, appendix A.1), which reports no ViT-Ti. Not measured here.
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/classification/vit-tiny-p16_8xb2048-linear-coslr-90e_in1k.py 8
"""

_base_ = ['vit-base-p16_8xb2048-linear-coslr-90e_in1k.py']

model = dict(backbone=dict(arch='deit-tiny'), neck=dict(input_features=192), head=dict(in_channels=192))
