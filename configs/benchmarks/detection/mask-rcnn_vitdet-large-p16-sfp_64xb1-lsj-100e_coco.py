"""Mask R-CNN on ViTDet-L, COCO, large-scale jitter, 100 epochs.

Recipe: ViTDet's (arXiv 2203.16527), which reports box AP 55.5 and mask AP 49.2 from MAE weights.
Not measured here. With fewer than 64 GPUs the learning rate follows the batch.
Run: IMG2VEC_BACKBONE=backbone.pth NNODES=8 NODE_RANK=0 MASTER_ADDR=HOST bash tools/dist_train.sh \
    configs/benchmarks/detection/mask-rcnn_vitdet-large-p16-sfp_64xb1-lsj-100e_coco.py 8
"""

_base_ = ['mask-rcnn_vitdet-base-p16-sfp_64xb1-lsj-100e_coco.py']

model = dict(backbone=dict(arch='large', drop_path_rate=0.4), neck=dict(in_channels=1024))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
