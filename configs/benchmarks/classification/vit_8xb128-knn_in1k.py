"""k nearest neighbors on any frozen vision transformer, ImageNet-1k.

Protocol: weighted vote of the 20 nearest training images (arXiv 1805.01978), on the class token and on the mean of the
patch tokens. Nothing is trained. The architecture is read from the backbone.pth. Not measured here.
Run: IMG2VEC_BACKBONE=backbone.pth python tools/probe.py configs/benchmarks/classification/vit_8xb128-knn_in1k.py
"""

_base_ = ['../../_base_/downstream_runtime.py']

default_scope = 'mmpretrain'
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='mmimg2vec.TolerantVisBackend')])

# A ViT without a head, whose tokens are compared as they are.
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

# ImageNet-1k: the labeled training images vote on the validation images, nothing is trained.
# Environment variable IMG2VEC_IMAGENET: where the folders train/ and val/ are.
imagenet = '{{$IMG2VEC_IMAGENET:data/imagenet}}'

_pipeline = [
    dict(type='mmimg2vec.LoadImage'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
_dataloader = dict(
    batch_size=128,
    num_workers=8,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)

# The vote of the 20 nearest, weighted by exp(similarity / 0.07) (arXiv 1805.01978; k = 20 as DINO, arXiv 2104.14294).
knn = dict(
    k=20,
    temperature=0.07,
    pools=('cls', 'mean'),  # class token, mean of the patch tokens
    bank_dataloader=dict(
        **_dataloader, dataset=dict(type='ImageNet', data_root=imagenet, split='train', pipeline=_pipeline)
    ),
    query_dataloader=dict(
        **_dataloader, dataset=dict(type='ImageNet', data_root=imagenet, split='val', pipeline=_pipeline)
    ),
)
