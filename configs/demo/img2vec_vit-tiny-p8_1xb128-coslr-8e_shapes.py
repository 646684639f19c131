"""Img2Vec on Shapes: a small ViT learns to predict the features of the demo's teacher.

The teacher is the one of simclr_resnet-tiny_1xb128-coslr-8e_shapes.py; environment variable IMG2VEC_TEACHER names
another checkpoint. Measured figures: docs/results.md.
Run: python tools/train.py configs/demo/img2vec_vit-tiny-p8_1xb128-coslr-8e_shapes.py
"""

_base_ = ['../_base_/datasets/shapes_masked.py', '../_base_/default_runtime.py']

max_epochs = 8
work_dir = 'work_dirs/demo/pretrain'

model = dict(
    type='mmimg2vec.Img2Vec',
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    backbone=dict(
        type='mmimg2vec.MaskedVisionTransformer',
        arch=dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512),
        img_size=64,
        patch_size=8,
    ),
    fusion=dict(type='mmimg2vec.MultiLevelFusion', blocks=(1, 3)),
    neck=dict(type='mmimg2vec.CrossAttentionDecoder', embed_dims=96, depth=2, num_heads=4),
    head=dict(type='mmimg2vec.FeatureHead', loss=dict(type='mmimg2vec.CosineFeatureLoss')),
    target_generator=dict(
        type='mmimg2vec.BackboneTargetGenerator',
        teacher=dict(
            type='mmpretrain.ResNet',
            depth=18,
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            out_indices=(2,),
            base_channels=16,
            stem_channels=16,
            init_cfg=dict(
                type='Pretrained',
                checkpoint='{{$IMG2VEC_TEACHER:work_dirs/demo/teacher/backbone.pth}}',
                prefix='backbone.',
            ),
        ),
        output_stride=8,
    ),
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
