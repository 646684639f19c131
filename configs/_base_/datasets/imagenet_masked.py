# ImageNet-1k without its labels, in train/CLASS_FOLDER/*.JPEG of data/imagenet or of environment variable
# IMG2VEC_IMAGENET.
train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='mmimg2vec.SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmimg2vec.SeededDataset',
        dataset=dict(
            type='mmpretrain.ImageNet',
            data_root='{{$IMG2VEC_IMAGENET:data/imagenet}}',
            split='train',
            pipeline=[
                # MAE's crops (arXiv 2111.06377, appendix A.1). As MAE's Pillow it averages where it shrinks and
                # interpolates by cubic splines where it enlarges; it decodes large photos at a reduced scale.
                # .dev_scripts/benchmark_loader.py times both.
                dict(type='mmimg2vec.LoadRandomResizedCrop', scale=224, crop_ratio_range=(0.2, 1.0)),
                dict(type='mmpretrain.RandomFlip', prob=0.5),
                dict(type='mmimg2vec.RandomTokenMask', patch_size=16, mask_ratio=0.75),
                dict(type='mmimg2vec.PackMaskedInputs'),
            ],
        ),
    ),
)
