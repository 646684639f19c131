# A ViT-B/16 without a head, whose tokens are compared as they are (tools/probe.py).
default_scope = 'mmpretrain'
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='mmimg2vec.TolerantVisBackend')])

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    backbone=dict(
        type='VisionTransformer',
        arch='base',
        img_size=224,
        patch_size=16,
        out_type='raw',
        init_cfg=dict(type='Pretrained', checkpoint='{{$IMG2VEC_BACKBONE:backbone.pth}}', prefix='backbone.'),
    ),
)
