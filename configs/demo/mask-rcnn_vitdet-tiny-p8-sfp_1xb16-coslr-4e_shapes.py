"""Trains Mask R-CNN with a ViTDet-style backbone on Shapes, in COCO's layout, from the demo's backbone.

Starts from the demo's Img2Vec backbone; environment variable IMG2VEC_BACKBONE names another one. From scratch:
--cfg-options model.backbone.init_cfg=None. Measured figures: docs/results.md.
Run: python tools/train.py configs/demo/mask-rcnn_vitdet-tiny-p8-sfp_1xb16-coslr-4e_shapes.py
"""

_base_ = ['../_base_/downstream_runtime.py']

default_scope = 'mmdet'
max_epochs = 4
work_dir = 'work_dirs/demo/detect'
size = (96, 96)
channels = 48
strides = [4, 8, 16]
_roi = dict(type='SingleRoIExtractor', out_channels=channels, featmap_strides=strides, finest_scale=28)

model = dict(
    type='MaskRCNN',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='mmimg2vec.ViTDet',
        arch=dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512),
        img_size=96,
        patch_size=8,
        window_size=6,
        global_blocks=(1, 3),
        # Their bias is a mask that attention has to read: a third of the backbone's time on a CPU.
        rel_pos=False,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/demo/pretrain/backbone.pth}}',
            prefix='backbone.',
        ),
    ),
    neck=dict(
        type='mmimg2vec.SimpleFeaturePyramid', in_channels=128, out_channels=channels, scales=(2, 1, 0.5), num_outs=3
    ),
    rpn_head=dict(
        type='RPNHead',
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(type='AnchorGenerator', scales=[8], ratios=[0.7, 1.4], strides=strides),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[1.0] * 4),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0),
    ),
    roi_head=dict(
        type='StandardRoIHead',
        bbox_roi_extractor=dict(**_roi, roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=1)),
        bbox_head=dict(
            type='Shared2FCBBoxHead',
            in_channels=channels,
            fc_out_channels=256,
            roi_feat_size=7,
            num_classes=10,
            bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]),
            reg_class_agnostic=False,
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
            loss_bbox=dict(type='L1Loss', loss_weight=1.0),
        ),
        mask_roi_extractor=dict(**_roi, roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=1)),
        mask_head=dict(
            type='FCNMaskHead',
            num_convs=2,
            in_channels=channels,
            conv_out_channels=channels,
            num_classes=10,
            loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0),
        ),
    ),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.7,
                neg_iou_thr=0.3,
                min_pos_iou=0.3,
                match_low_quality=True,
                ignore_iof_thr=-1,
            ),
            sampler=dict(type='RandomSampler', num=64, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
        rpn_proposal=dict(nms_pre=300, max_per_img=100, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.5,
                neg_iou_thr=0.5,
                min_pos_iou=0.5,
                match_low_quality=True,
                ignore_iof_thr=-1,
            ),
            sampler=dict(type='RandomSampler', num=32, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
            mask_size=28,
            pos_weight=-1,
            debug=False,
        ),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=300, max_per_img=100, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=30, mask_thr_binary=0.5),
    ),
)

_shapes = dict(
    type='CocoDataset',
    data_root='{{$IMG2VEC_SHAPES:data/shapes}}/coco',
    metainfo=dict(
        classes=('ball', 'butterfly', 'fish', 'flower', 'gear', 'house', 'key', 'leaf', 'mushroom',
                 'star'),
        palette=[[230, 25, 75], [60, 180, 75], [255, 225, 25], [0, 130, 200], [245, 130, 48],
                 [145, 30, 180], [70, 240, 240], [240, 50, 230], [210, 245, 60], [250, 190, 212]],
    ),
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
            ann_file='annotations/instances_train.json',
            data_prefix=dict(img='train/'),
            filter_cfg=dict(filter_empty_gt=True, min_size=4),
            pipeline=[
                dict(type='mmimg2vec.LoadImage'),
                dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
                dict(type='RandomResize', scale=(160, 160), ratio_range=(0.75, 1.25), keep_ratio=True),
                dict(type='RandomCrop', crop_size=size),
                dict(type='FilterAnnotations', min_gt_bbox_wh=(4, 4)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='Pad', size=size),
                dict(type='PackDetInputs'),
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
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'),
        test_mode=True,
        pipeline=[
            dict(type='mmimg2vec.LoadImage'),
            dict(type='Resize', scale=(160, 160), keep_ratio=True),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='CocoMetric',
    ann_file='{{$IMG2VEC_SHAPES:data/shapes}}/coco/annotations/instances_val.json',
    metric=['bbox', 'segm'],
)
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
train_cfg = dict(type='mmimg2vec.CheckedTrainLoop', max_epochs=max_epochs, val_interval=2)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=16, enable=True)
default_hooks = dict(logger=dict(interval=20))
