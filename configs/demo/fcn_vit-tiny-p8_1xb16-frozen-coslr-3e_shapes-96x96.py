"""Segmentation on frozen tokens of Shapes: a small head reads the tokens of all blocks, nothing of the backbone is
trained.

The head sees one token at a time, so mIoU tells what each token knows of its own place. Environment variable
IMG2VEC_BACKBONE names the backbone. Random weights: --cfg-options model.backbone.init_cfg=None.
Measured figures: docs/results.md.
Run: python tools/train.py configs/demo/fcn_vit-tiny-p8_1xb16-frozen-coslr-3e_shapes-96x96.py
"""

_base_ = ['upernet_vit-tiny-p8_1xb16-coslr-6e_shapes-96x96.py']

max_epochs = 3
work_dir = 'work_dirs/demo/segment-frozen'

model = dict(
    backbone=dict(frozen_stages=4),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        in_channels=[128, 128, 128, 128],
        in_index=[0, 1, 2, 3],
        input_transform='resize_concat',
        channels=64,
        num_convs=1,
        kernel_size=1,
        concat_input=False,
        dropout_ratio=0,
        num_classes=11,
        norm_cfg=_base_.norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', class_weight=_base_.class_weight),
    ),
    auxiliary_head=None,
)
optim_wrapper = dict(
    _delete_=True,
    type='mmimg2vec.AutocastOptimWrapper',
    dtype='float32',
    optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.0),
)
param_scheduler = [dict(type='CosineAnnealingLR', begin=0, end=max_epochs, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
