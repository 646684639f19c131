"""Mask R-CNN on ViTDet-H, COCO, large-scale jitter, 75 epochs.

Recipe: ViTDet's (arXiv 2203.16527), which reports box AP 56.7 and mask AP 50.2 from MAE weights.
A backbone with patches of 14 has its patch embedding resized to 16.
Not measured here. With fewer than 64 GPUs the learning rate follows the batch.
Run: IMG2VEC_BACKBONE=backbone.pth NNODES=8 NODE_RANK=0 MASTER_ADDR=HOST bash tools/dist_train.sh \
    configs/benchmarks/detection/mask-rcnn_vitdet-huge-p16-sfp_64xb1-lsj-75e_coco.py 8
"""

_base_ = ['mask-rcnn_vitdet-base-p16-sfp_64xb1-lsj-100e_coco.py']

model = dict(
    # 16 x 16 patches of 14 in pre-training; with_cp: less memory for more time
    backbone=dict(arch='huge', pos_embed_size=256, drop_path_rate=0.5, with_cp=True),
    neck=dict(in_channels=1280),
)
# Of this size ViTDet decays norms and the position embedding too.
optim_wrapper = dict(
    paramwise_cfg=dict(layer_decay_rate=0.9, norm_decay_mult=1.0, custom_keys=dict(_delete_=True)),
)
train_cfg = dict(max_epochs=75)
# The drops at the same shares of the schedule as in 100 epochs.
_base_.param_scheduler[1].update(end=75, milestones=[67, 72])
