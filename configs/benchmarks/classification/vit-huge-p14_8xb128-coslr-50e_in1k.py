"""ViT-H/14 fine-tuned on ImageNet-1k, 50 epochs.

Recipe: MAE's (arXiv 2111.06377, appendix A.1), with which MAE itself reports 86.9 %. Not measured here.
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/classification/vit-huge-p14_8xb128-coslr-50e_in1k.py 8
"""

_base_ = ['vit-large-p16_8xb128-coslr-50e_in1k.py']

model = dict(backbone=dict(arch='huge', patch_size=14, drop_path_rate=0.3), head=dict(in_channels=1280))
