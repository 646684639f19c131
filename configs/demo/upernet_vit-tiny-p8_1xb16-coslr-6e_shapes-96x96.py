"""Trains UPerNet on Shapes, in ADE20K's layout, from the demo's backbone.

Starts from the demo's Img2Vec backbone; environment variable IMG2VEC_BACKBONE names another one. From scratch:
--cfg-options model.backbone.init_cfg=None. Measured figures: docs/results.md.
Run: python tools/train.py configs/demo/upernet_vit-tiny-p8_1xb16-coslr-6e_shapes-96x96.py
"""

_base_ = ['../_base_/downstream_runtime.py']

default_scope = 'mmseg'
max_epochs = 6
work_dir = 'work_dirs/demo/segment'
crop_size = (96, 96)
norm_cfg = dict(type='BN', requires_grad=True)
# Most pixels are ground: without weights a short training learns to name nothing else.
class_weight = [0.15] + [1.0] * 10

model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        size=crop_size,
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch=dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512),
        img_size=96,
        patch_size=8,
        out_type='featmap',
        out_indices=(0, 1, 2, 3),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/demo/pretrain/backbone.pth}}',
            prefix='backbone.',
        ),
    ),
    neck=dict(type='Feature2Pyramid', embed_dim=128, rescales=[2, 1, 0.5, 0.25], norm_cfg=norm_cfg),
    decode_head=dict(
        type='UPerHead',
        in_channels=[128, 128, 128, 128],
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3),
        channels=48,
        dropout_ratio=0.1,
        num_classes=11,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0, class_weight=class_weight),
    ),
    auxiliary_head=dict(
        type='FCNHead',
        in_channels=128,
        in_index=2,
        channels=64,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=11,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4, class_weight=class_weight),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)

_shapes = dict(
    # mmseg's ADE20KDataset takes ADE20K's own 150 names only.
    type='BaseSegDataset',
    data_root='{{$IMG2VEC_SHAPES:data/shapes}}/ade',
    metainfo=dict(
        classes=('ground', 'ball', 'butterfly', 'fish', 'flower', 'gear', 'house', 'key', 'leaf',
                 'mushroom', 'star'),
        palette=[[120, 120, 120], [230, 25, 75], [60, 180, 75], [255, 225, 25], [0, 130, 200], [245, 130, 48],
                 [145, 30, 180], [70, 240, 240], [240, 50, 230], [210, 245, 60], [250, 190, 212]],
    ),
    reduce_zero_label=True,
    img_suffix='.jpg',
    seg_map_suffix='.png',
)  # fmt: skip
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='mmimg2vec.SeededSampler', shuffle=True),
    dataset=dict(
        type='mmimg2vec.SeededDataset',
        dataset=dict(
            **_shapes,
            data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
            pipeline=[
                dict(type='mmimg2vec.LoadImage'),
                dict(type='LoadAnnotations', reduce_zero_label=True),
                dict(type='RandomResize', scale=(160, 160), ratio_range=(0.75, 1.25), keep_ratio=True),
                dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.9),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackSegInputs'),
            ],
        ),
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **_shapes,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=[
            dict(type='mmimg2vec.LoadImage'),
            dict(type='LoadAnnotations', reduce_zero_label=True),
            dict(type='PackSegInputs'),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='mmimg2vec.AutocastOptimWrapper',
    dtype='float32',
    constructor='mmimg2vec.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05, betas=(0.9, 0.999)),
    paramwise_cfg=dict(layer_decay_rate=0.75),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, end=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(type='mmimg2vec.CheckedTrainLoop', max_epochs=max_epochs, val_interval=3)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=16, enable=True)
default_hooks = dict(logger=dict(interval=20))
