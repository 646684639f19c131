"""The demo's teacher: SimCLR (arXiv 2002.05709, mmpretrain's) trains a small ResNet on Shapes without labels.

A teacher for one's own images can be trained with any self-supervised config of mmpretrain; what makes it one is the
`backbone.pth` that BackboneExportHook writes. Measured figures: docs/results.md.
Run: python tools/train.py configs/demo/simclr_resnet-tiny_1xb128-coslr-8e_shapes.py
"""

_base_ = [
    '../_base_/datasets/shapes_masked.py',
    '../_base_/schedules/shapes_adamw_coslr_8e.py',
    '../_base_/default_runtime.py',
]

work_dir = 'work_dirs/demo/teacher'

model = dict(
    type='mmpretrain.SimCLR',
    data_preprocessor=dict(
        type='mmpretrain.SelfSupDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    # ResNet-18 without its last stage, a quarter as wide: 16 to 64 channels, stride 16.
    backbone=dict(
        type='mmpretrain.ResNet',
        depth=18,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
        base_channels=16,
        stem_channels=16,
    ),
    neck=dict(
        type='mmpretrain.NonLinearNeck',
        in_channels=64,
        hid_channels=64,
        out_channels=64,
        num_layers=2,
        with_avg_pool=True,
        norm_cfg=dict(type='BN1d'),
    ),
    head=dict(type='mmpretrain.ContrastiveHead', loss=dict(type='mmpretrain.CrossEntropyLoss'), temperature=0.2),
)

train_dataloader = dict(
    num_workers=2,  # two views with color jitter cost as much as the network
    dataset=dict(
        dataset=dict(
            pipeline=[
                dict(type='mmimg2vec.LoadImage'),
                dict(
                    type='mmpretrain.MultiView',
                    num_views=2,
                    transforms=[
                        [
                            dict(
                                type='mmpretrain.RandomResizedCrop',
                                scale=48,
                                crop_ratio_range=(0.3, 1.0),
                                backend='cv2',
                            ),
                            dict(type='mmpretrain.RandomFlip', prob=0.5),
                            dict(
                                type='RandomApply',
                                transforms=[
                                    dict(
                                        type='mmpretrain.ColorJitter',
                                        brightness=0.4,
                                        contrast=0.4,
                                        saturation=0.4,
                                        hue=0.1,
                                        backend='cv2',
                                    )
                                ],
                                prob=0.8,
                            ),
                            dict(
                                type='RandomGrayscale',
                                prob=0.2,
                                keep_channels=True,
                                channel_weights=(0.114, 0.587, 0.2989),
                            ),
                        ]
                    ],
                ),
                dict(type='mmpretrain.PackInputs'),
            ]
        )
    ),
)

optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.01))
custom_hooks = [
    dict(type='mmimg2vec.SeededStepHook'),
    dict(type='mmimg2vec.UnreadableImagesHook', max_share=0.01),
    dict(type='mmimg2vec.BackboneExportHook'),
]
