# A frozen ViT-B/16 that a learned query reads by one cross-attention, and a linear layer on what it reads (attentive
# probing, CAE, arXiv 2202.03026).
default_scope = 'mmpretrain'
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='mmimg2vec.TolerantVisBackend')])

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(num_classes=1000, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    backbone=dict(
        type='mmimg2vec.FrozenVisionTransformer',
        arch='base',
        img_size=224,
        patch_size=16,
        out_type='raw',  # class token and patches, behind the final norm
        init_cfg=dict(type='Pretrained', checkpoint='{{$IMG2VEC_BACKBONE:backbone.pth}}', prefix='backbone.'),
    ),
    neck=dict(type='mmimg2vec.AttentivePooling', in_channels=768, num_heads=12),
    head=dict(
        type='VisionTransformerClsHead',
        num_classes=1000,
        in_channels=768,
        loss=dict(type='CrossEntropyLoss'),
        init_cfg=[dict(type='TruncNormal', layer='Linear', std=0.01)],
    ),
)
