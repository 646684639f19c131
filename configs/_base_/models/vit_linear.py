# A frozen ViT-B/16 and a linear layer on its class token, behind a batch norm without weights of its own
# (MAE, arXiv 2111.06377, appendix A.1).
default_scope = 'mmpretrain'
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='mmimg2vec.TolerantVisBackend')])

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(num_classes=1000, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    backbone=dict(
        type='VisionTransformer',
        arch='base',
        img_size=224,
        patch_size=16,
        frozen_stages=12,  # all blocks, and with them the final norm
        out_type='cls_token',
        init_cfg=dict(type='Pretrained', checkpoint='{{$IMG2VEC_BACKBONE:backbone.pth}}', prefix='backbone.'),
    ),
    neck=dict(type='ClsBatchNormNeck', input_features=768),
    head=dict(
        type='VisionTransformerClsHead',
        num_classes=1000,
        in_channels=768,
        loss=dict(type='CrossEntropyLoss'),
        init_cfg=[dict(type='TruncNormal', layer='Linear', std=0.01)],
    ),
)
