# Shapes, the embedded images (tools/dataset_converters/shapes.py writes them), without and with their labels.
# Environment variable IMG2VEC_SHAPES: a folder of Shapes elsewhere.
data_root = '{{$IMG2VEC_SHAPES:data/shapes}}'

augmentation = [
    dict(type='mmimg2vec.LoadImage'),
    dict(
        type='mmpretrain.RandomResizedCrop',
        scale=64,
        crop_ratio_range=(0.4, 1.0),
        backend='cv2',
        interpolation='bicubic',
    ),
    dict(type='mmpretrain.RandomFlip', prob=0.5),
]

train_dataloader = dict(
    batch_size=128,
    num_workers=1,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='mmimg2vec.SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmimg2vec.SeededDataset',
        dataset=dict(
            type='mmpretrain.CustomDataset',
            data_root=data_root + '/imagenet/train',
            with_label=False,
            pipeline=[
                *augmentation,
                dict(type='mmimg2vec.RandomTokenMask', patch_size=8, mask_ratio=0.75),
                dict(type='mmimg2vec.PackMaskedInputs'),
            ],
        ),
    ),
)

# Labelled images that vote (bank) on labeled images they have not seen (query); nothing is trained on the labels.
_labeled_pipeline = [dict(type='mmimg2vec.LoadImage'), dict(type='mmpretrain.PackInputs')]
knn = {
    name: dict(
        batch_size=256,
        num_workers=1,
        dataset=dict(
            type='mmpretrain.CustomDataset',
            data_root=data_root + '/imagenet',
            data_prefix=split,
            pipeline=_labeled_pipeline,
        ),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
    )
    for name, split in (('bank_dataloader', 'train'), ('query_dataloader', 'val'))
}
