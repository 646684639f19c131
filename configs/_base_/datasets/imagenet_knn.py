# ImageNet-1k for tools/probe.py: the labeled training images vote on the validation images, nothing is trained.
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
