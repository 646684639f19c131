# Unlabeled images of your own in one folder, flat or with folders inside.
# The one thing to set: here, or with the environment variable IMG2VEC_IMAGES, which mmengine puts in.
images = '{{$IMG2VEC_IMAGES:data/my_images}}'

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
            type='mmpretrain.CustomDataset',
            data_root=images,
            with_label=False,
            pipeline=[
                dict(type='mmimg2vec.LoadImage'),
                dict(
                    type='mmpretrain.RandomResizedCrop',
                    scale=224,
                    crop_ratio_range=(0.2, 1.0),
                    backend='cv2',
                    interpolation='bicubic',
                ),
                dict(type='mmpretrain.RandomFlip', prob=0.5),
                dict(type='mmimg2vec.RandomTokenMask', patch_size=16, mask_ratio=0.75),
                dict(type='mmimg2vec.PackMaskedInputs'),
            ],
        ),
    ),
)
