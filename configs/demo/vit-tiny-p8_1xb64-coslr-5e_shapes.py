"""Fine-tunes the demo's backbone as a classifier of Shapes.

Starts from the demo's Img2Vec backbone; environment variable IMG2VEC_BACKBONE names another one. From scratch:
--cfg-options model.backbone.init_cfg=None optim_wrapper.paramwise_cfg.layer_decay_rate=1.0 (layer decay would hold back
untrained layers). Measured figures: docs/results.md.
Run: python tools/train.py configs/demo/vit-tiny-p8_1xb64-coslr-5e_shapes.py
"""

_base_ = ['../_base_/downstream_runtime.py']

default_scope = 'mmpretrain'
max_epochs = 5
work_dir = 'work_dirs/demo/finetune'
data_root = '{{$IMG2VEC_SHAPES:data/shapes}}/imagenet'

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(num_classes=10, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    backbone=dict(
        type='VisionTransformer',
        arch=dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512),
        img_size=64,
        patch_size=8,
        out_type='avg_featmap',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/demo/pretrain/backbone.pth}}',
            prefix='backbone.',
        ),
    ),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=128,
        init_cfg=[dict(type='TruncNormal', layer='Linear', std=2e-5)],
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)

train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='mmimg2vec.SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmimg2vec.SeededDataset',
        dataset=dict(
            type='CustomDataset',
            data_root=data_root,
            data_prefix='train',
            pipeline=[
                dict(type='mmimg2vec.LoadImage'),
                dict(
                    type='RandomResizedCrop',
                    scale=64,
                    crop_ratio_range=(0.6, 1.0),
                    backend='cv2',
                    interpolation='bicubic',
                ),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackInputs'),
            ],
        ),
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='CustomDataset',
        data_root=data_root,
        data_prefix='val',
        pipeline=[dict(type='mmimg2vec.LoadImage'), dict(type='PackInputs')],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='mmimg2vec.AutocastOptimWrapper',
    dtype='float32',
    constructor='mmimg2vec.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05, betas=(0.9, 0.999)),
    paramwise_cfg=dict(layer_decay_rate=0.75),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, end=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(type='mmimg2vec.CheckedTrainLoop', max_epochs=max_epochs, val_interval=2)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=64, enable=True)
default_hooks = dict(logger=dict(interval=20))
