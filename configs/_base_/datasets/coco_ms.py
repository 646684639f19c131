# COCO 2017 with training images of several sizes, the shorter side 480 to 800 px (the project's choice, as is usual for
# transformers in 12 epochs).
# Environment variable IMG2VEC_COCO: where annotations/, train2017/ and val2017/ are.
coco = '{{$IMG2VEC_COCO:data/coco}}'

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='mmimg2vec.SeededSampler', shuffle=True),
    dataset=dict(
        type='mmimg2vec.SeededDataset',
        dataset=dict(
            type='CocoDataset',
            data_root=coco,
            ann_file='annotations/instances_train2017.json',
            data_prefix=dict(img='train2017/'),
            filter_cfg=dict(filter_empty_gt=True, min_size=32),
            pipeline=[
                dict(type='mmimg2vec.LoadImage'),
                dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
                dict(type='RandomFlip', prob=0.5),
                dict(type='RandomChoiceResize', scales=[(1333, side) for side in range(480, 801, 32)], keep_ratio=True),
                dict(type='PackDetInputs'),
            ],
        ),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        data_root=coco,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(1333, 800), keep_ratio=True),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
        ],
    ),
)
val_evaluator = dict(type='CocoMetric', ann_file=coco + '/annotations/instances_val2017.json', metric=['bbox', 'segm'])
test_dataloader = val_dataloader
test_evaluator = val_evaluator
