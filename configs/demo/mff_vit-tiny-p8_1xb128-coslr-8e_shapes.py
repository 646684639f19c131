"""MFF on Shapes: pixel targets, and a decoder that reads several blocks of the encoder.

Student, decoder, images, crops, batch, steps and optimizer are those of mae_vit-tiny-p8_1xb128-coslr-8e_shapes.py: what
differs is the fusion. Measured figures: docs/results.md.
Run: python tools/train.py configs/demo/mff_vit-tiny-p8_1xb128-coslr-8e_shapes.py
"""

_base_ = ['../_base_/datasets/shapes_masked.py', '../_base_/default_runtime.py']

max_epochs = 8
work_dir = 'work_dirs/demo/mff'

model = dict(
    type='mmimg2vec.MFF',
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    backbone=dict(
        type='mmimg2vec.MaskedVisionTransformer',
        arch=dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512),
        img_size=64,
        patch_size=8,
    ),
    # Every other block and the last, as MFF fuses the twelve of a ViT-B.
    fusion=dict(type='mmimg2vec.MultiLevelFusion', blocks=(0, 2, 3)),
    neck=dict(type='mmimg2vec.SelfAttentionDecoder', embed_dims=96, depth=2, num_heads=4),
    head=dict(
        type='mmimg2vec.FeatureHead',
        loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2'),
        global_weight=0,
    ),
    target_generator=dict(type='mmimg2vec.PixelTargetGenerator', norm_pix=True),
)

optim_wrapper = dict(
    type='mmimg2vec.AutocastOptimWrapper',
    dtype='float32',
    optimizer=dict(type='AdamW', lr=1.5e-3, betas=(0.9, 0.95), weight_decay=0.05),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, end=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(type='mmimg2vec.CheckedTrainLoop', max_epochs=max_epochs)
auto_scale_lr = dict(base_batch_size=128, enable=True)

custom_hooks = [*_base_.custom_hooks, dict(type='mmimg2vec.KNNHook', interval=max_epochs // 2, **_base_.knn)]
