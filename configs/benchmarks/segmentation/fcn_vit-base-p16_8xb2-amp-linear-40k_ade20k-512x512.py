"""Linear segmentation probe of a frozen ViT-B/16, ADE20K, 40k iterations.

Recipe: DINOv2's (arXiv 2304.07193, section 7.4), with which DINOv2 itself reports 47.3 mIoU for its ViT-B/14.
The cheapest dense measure. Not measured here. `tools/test.py ... --tta` tests at six sizes and flipped.
Other sizes: --cfg-options model.backbone.arch=deit-small model.neck.in_channels=384 \
    model.decode_head.in_channels=384 model.decode_head.channels=384 (ViT-L: large and 1024)
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/segmentation/fcn_vit-base-p16_8xb2-amp-linear-40k_ade20k-512x512.py 8
"""

_base_ = [
    '../../_base_/models/fcn_linear_vit.py',
    '../../_base_/datasets/ade20k_512x512.py',
    '../../_base_/schedules/linear_adamw_40k.py',
    '../../_base_/downstream_runtime.py',
]

default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=4000),
    visualization=dict(type='SegVisualizationHook'),
)
