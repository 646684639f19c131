"""MFF on Shapes: pixel targets, and a decoder that reads several blocks of the encoder.

Student, decoder, images, crops, batch, steps and optimizer are those of mae_vit-tiny-p8_1xb128-coslr-8e_shapes.py: what
differs is the fusion. Measured figures: docs/results.md.
Run: python tools/train.py configs/demo/mff_vit-tiny-p8_1xb128-coslr-8e_shapes.py
"""

_base_ = [
    '../_base_/models/shapes_vit-tiny-p8.py',
    '../_base_/datasets/shapes_masked.py',
    '../_base_/schedules/shapes_adamw_coslr_8e.py',
    '../_base_/default_runtime.py',
]

work_dir = 'work_dirs/demo/mff'

model = dict(
    type='mmimg2vec.MFF',
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

custom_hooks = [*_base_.custom_hooks, dict(type='mmimg2vec.KNNHook', interval=_base_.max_epochs // 2, **_base_.knn)]
