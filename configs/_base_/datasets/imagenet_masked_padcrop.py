# ImageNet-1k without its labels, in train/CLASS_FOLDER/*.JPEG of data/imagenet or of environment variable
# IMG2VEC_IMAGENET, with MFF's augmentation (arXiv 2308.00261): the whole image at 224 px, shifted by up to 4 pixels,
# instead of MAE's crops of any size.
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
                dict(type='mmimg2vec.LoadImage'),
                # torchvision's transforms: mmpretrain.RandomCrop pads with black, whatever its padding_mode.
                # Slower than MAE's crops of imagenet_masked.py: .dev_scripts/benchmark_loader.py measures both.
                dict(type='mmpretrain.ToPIL'),
                dict(type='mmpretrain.torchvision/Resize', size=224),
                dict(type='mmpretrain.torchvision/RandomCrop', size=224, padding=4, padding_mode='reflect'),
                dict(type='mmpretrain.ToNumpy'),
                dict(type='mmpretrain.RandomFlip', prob=0.5),
                dict(type='mmimg2vec.RandomTokenMask', patch_size=16, mask_ratio=0.75),
                dict(type='mmimg2vec.PackMaskedInputs'),
            ],
        ),
    ),
)
