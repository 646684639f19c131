"""Mask R-CNN on ViTDet-Ti, COCO, 12 epochs on one machine.

Recipe: the project's choice for 8 GPUs of one machine: 12 epochs of multi-scale training, the rest as ViTDet
(arXiv 2203.16527). No figure is known for it, and none was measured here.
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/detection/mask-rcnn_vitdet-tiny-p16-sfp_8xb2-ms-1x_coco.py 8
"""

_base_ = ['mask-rcnn_vitdet-base-p16-sfp_8xb2-ms-1x_coco.py']

model = dict(backbone=dict(arch='deit-tiny', drop_path_rate=0.0), neck=dict(in_channels=192))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.85))
