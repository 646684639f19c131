"""Linear segmentation probe on Shapes: batch norm and a 1 x 1 convolution on the frozen tokens of the last block.

DINOv2's protocol (arXiv 2304.07193, section 7.4). Scores are made on the grid of the tokens, 12 x 12 for a crop of
96 px, and enlarged to the size of the map. Environment variable IMG2VEC_BACKBONE names the backbone. Random weights:
--cfg-options model.backbone.init_cfg=None. Measured figures: docs/results.md.
Run: python tools/train.py configs/demo/fcn_vit-tiny-p8_1xb16-linear-coslr-4e_shapes-96x96.py
"""

_base_ = ['upernet_vit-tiny-p8_1xb16-coslr-6e_shapes-96x96.py']

max_epochs = 4
work_dir = 'work_dirs/demo/segment-linear'

model = dict(
    backbone=dict(type='mmimg2vec.FrozenVisionTransformer', out_indices=(3,)),
    neck=dict(_delete_=True, type='mmimg2vec.FeatureNorm', in_channels=128, norm_cfg=_base_.norm_cfg),
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        in_channels=128,
        in_index=0,
        channels=128,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0,
        num_classes=11,
        norm_cfg=None,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', class_weight=_base_.class_weight),
    ),
    auxiliary_head=None,
)
optim_wrapper = dict(
    _delete_=True,
    type='mmimg2vec.AutocastOptimWrapper',
    dtype='float32',
    optimizer=dict(type='AdamW', lr=1e-2, weight_decay=1e-4),
)
param_scheduler = [dict(type='CosineAnnealingLR', begin=0, end=max_epochs, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
