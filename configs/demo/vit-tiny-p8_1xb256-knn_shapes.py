"""kNN and linear accuracy on Shapes of the demo's backbone, frozen: is what it learnt without labels of use for
classes?

Takes the demo's Img2Vec backbone; environment variable IMG2VEC_BACKBONE names another one. Measured figures: README.md
of the project, "The demo".
Run: python tools/probe.py configs/demo/vit-tiny-p8_1xb256-knn_shapes.py
"""

_base_ = ['../_base_/downstream_runtime.py']

default_scope = 'mmpretrain'
work_dir = 'work_dirs/demo/probe'

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    backbone=dict(
        type='VisionTransformer',
        arch=dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512),
        img_size=64,
        patch_size=8,
        out_type='raw',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/demo/pretrain/backbone.pth}}',
            prefix='backbone.',
        ),
    ),
)

_dataloader = dict(
    batch_size=256,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
_shapes = dict(
    type='CustomDataset',
    data_root='{{$IMG2VEC_SHAPES:data/shapes}}/imagenet',
    pipeline=[dict(type='mmimg2vec.LoadImage'), dict(type='PackInputs')],
)
knn = dict(
    k=20,
    temperature=0.07,
    pools=('cls', 'mean'),
    linear=True,
    bank_dataloader=dict(**_dataloader, dataset=dict(**_shapes, data_prefix='train')),
    query_dataloader=dict(**_dataloader, dataset=dict(**_shapes, data_prefix='val')),
)
