"""UPerNet on ViT-B/16, ADE20K, 160k iterations.

Recipe: MAE's (arXiv 2111.06377, appendix A.4), with which MAE itself reports 48.1 mIoU.
Not measured here. `tools/test.py ... --tta` tests at six sizes and flipped.
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/segmentation/upernet_vit-base-p16_8xb2-amp-160k_ade20k-512x512.py 8
"""

_base_ = [
    '../../_base_/models/upernet_vit.py',
    '../../_base_/datasets/ade20k_512x512.py',
    '../../_base_/schedules/upernet_adamw_160k.py',
    '../../_base_/downstream_runtime.py',
]

default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=4000),
    visualization=dict(type='SegVisualizationHook'),
)
