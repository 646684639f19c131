# ImageNet-1k for a linear classifier on frozen features: random crops and flips only (MAE, arXiv 2111.06377,
# appendix A.1). Environment variable IMG2VEC_IMAGENET: where the folders train/ and val/ are.
imagenet = '{{$IMG2VEC_IMAGENET:data/imagenet}}'

train_dataloader = dict(
    batch_size=2048,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='mmimg2vec.SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmimg2vec.SeededDataset',
        dataset=dict(
            type='ImageNet',
            data_root=imagenet,
            split='train',
            pipeline=[
                dict(type='mmimg2vec.LoadImage'),
                dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bicubic'),
                dict(type='RandomFlip', prob=0.5, direction='horizontal'),
                dict(type='PackInputs'),
            ],
        ),
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ImageNet',
        data_root=imagenet,
        split='val',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
            dict(type='CenterCrop', crop_size=224),
            dict(type='PackInputs'),
        ],
    ),
)
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_dataloader = val_dataloader
test_evaluator = val_evaluator
