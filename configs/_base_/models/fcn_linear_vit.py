# A frozen ViT-B/16 and a linear layer on each of its last tokens: batch norm and a 1 x 1 convolution (DINOv2,
# arXiv 2304.07193, section 7.4). Scores are made on the grid of the tokens, 32 x 32 for a crop of 512 px, and enlarged
# to the size of the map.
default_scope = 'mmseg'
visualizer = dict(
    type='SegLocalVisualizer', vis_backends=[dict(type='mmimg2vec.TolerantVisBackend')], name='visualizer'
)
norm_cfg = dict(type='SyncBN', requires_grad=True)

model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(512, 512),
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(
        type='mmimg2vec.FrozenVisionTransformer',
        arch='base',
        img_size=512,
        patch_size=16,
        out_type='featmap',  # of the last block, behind the final norm
        init_cfg=dict(type='Pretrained', checkpoint='{{$IMG2VEC_BACKBONE:backbone.pth}}', prefix='backbone.'),
    ),
    neck=dict(type='mmimg2vec.FeatureNorm', in_channels=768, norm_cfg=norm_cfg),
    decode_head=dict(
        type='FCNHead',
        in_channels=768,
        in_index=0,
        channels=768,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0,
        num_classes=150,
        norm_cfg=None,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
