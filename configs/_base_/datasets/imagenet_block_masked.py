# ImageNet-1k without its labels, in train/CLASS_FOLDER/*.JPEG of data/imagenet or of environment variable
# IMG2VEC_IMAGENET, with CAE v2's augmentation: one crop for student and teacher, and a block-wise mask.
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
                dict(
                    type='mmpretrain.RandomResizedCrop',
                    scale=224,
                    crop_ratio_range=(0.4, 1.0),
                    # Pillow's bicubic averages where it shrinks, as the official code's; 'cv2' is faster.
                    backend='pillow',
                    interpolation='bicubic',
                ),
                dict(type='mmpretrain.RandomFlip', prob=0.5),
                # After the crop, where there are fewer pixels to change; the official code does it before.
                dict(type='mmpretrain.ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
                # 98 of the 196 patches; sizes other than ViT-B have counts of their own.
                dict(type='mmimg2vec.BlockTokenMask', patch_size=16, mask_ratio=98 / 196),
                dict(type='mmimg2vec.PackMaskedInputs'),
            ],
        ),
    ),
)
