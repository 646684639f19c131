# ImageNet-1k with the augmentation of MAE's fine-tuning (arXiv 2111.06377, appendix A.1): RandAugment (2 operations,
# magnitude 9 with deviation 0.5), random erasing 0.25. Colors are in BGR order, as images are loaded.
# Environment variable IMG2VEC_IMAGENET: where the folder train/ is.
train_dataloader = dict(
    batch_size=128,
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
                dict(
                    type='RandAugment',
                    policies='timm_increasing',
                    num_policies=2,
                    total_level=10,
                    magnitude_level=9,
                    magnitude_std=0.5,
                    hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic'),
                ),
                dict(
                    type='RandomErasing',
                    erase_prob=0.25,
                    mode='rand',
                    min_area_ratio=0.02,
                    max_area_ratio=1 / 3,
                    fill_color=[103.53, 116.28, 123.675],
                    fill_std=[57.375, 57.12, 58.395],
                ),
                dict(type='PackInputs'),
            ],
        ),
    ),
)
