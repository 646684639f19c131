"""Img2Vec on Shapes: a small ViT learns to predict the features of the demo's teacher.

The teacher is the one of simclr_resnet-tiny_1xb128-coslr-8e_shapes.py; environment variable IMG2VEC_TEACHER names
another checkpoint. Measured figures: docs/results.md.
Run: python tools/train.py configs/demo/img2vec_vit-tiny-p8_1xb128-coslr-8e_shapes.py
"""

_base_ = [
    '../_base_/models/shapes_vit-tiny-p8.py',
    '../_base_/datasets/shapes_masked.py',
    '../_base_/schedules/shapes_adamw_coslr_8e.py',
    '../_base_/default_runtime.py',
]

work_dir = 'work_dirs/demo/pretrain'

model = dict(
    type='mmimg2vec.Img2Vec',
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

custom_hooks = [
    *_base_.custom_hooks,
    dict(type='mmimg2vec.KNNHook', interval=_base_.max_epochs // 2, **_base_.knn),
    dict(type='mmimg2vec.DenseQualityHook', interval=_base_.max_epochs // 4, dataloader=_base_.knn['query_dataloader']),
]
