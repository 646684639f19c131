# ImageNet-1k for a linear classifier on frozen features: random crops and flips only (MAE, arXiv 2111.06377,
# appendix A.1). Environment variable IMG2VEC_IMAGENET: where the folder train/ is.
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
            data_root='{{$IMG2VEC_IMAGENET:data/imagenet}}',
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
