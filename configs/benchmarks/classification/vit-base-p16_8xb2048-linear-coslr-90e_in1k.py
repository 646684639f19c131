"""Linear classifier on a frozen ViT-B/16, ImageNet-1k, 90 epochs.

Recipe: MAE's (arXiv 2111.06377, appendix A.1), with which MAE itself reports 67.8 %. Not measured here.
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/classification/vit-base-p16_8xb2048-linear-coslr-90e_in1k.py 8
"""

_base_ = [
    '../../_base_/models/vit_linear.py',
    '../../_base_/datasets/imagenet_linear.py',
    '../../_base_/datasets/imagenet_val.py',
    '../../_base_/schedules/linear_lars_coslr_90e.py',
    '../../_base_/downstream_runtime.py',
]

val_dataloader = test_dataloader = dict(batch_size=256)
