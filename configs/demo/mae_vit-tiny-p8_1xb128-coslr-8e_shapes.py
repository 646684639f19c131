"""mmpretrain's MAE on Shapes: pixel targets, to compare with.

Student, images, crops, batch, steps and optimizer are those of img2vec_vit-tiny-p8_1xb128-coslr-8e_shapes.py.
Measured figures: docs/results.md.
Run: python tools/train.py configs/demo/mae_vit-tiny-p8_1xb128-coslr-8e_shapes.py
"""

_base_ = [
    '../_base_/datasets/shapes_masked.py',
    '../_base_/schedules/shapes_adamw_coslr_8e.py',
    '../_base_/default_runtime.py',
]

work_dir = 'work_dirs/demo/mae'

model = dict(
    type='mmpretrain.MAE',
    data_preprocessor=dict(
        type='mmpretrain.SelfSupDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type='mmpretrain.MAEViT',
        arch=dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512),
        img_size=64,
        patch_size=8,
        mask_ratio=0.75,
    ),
    neck=dict(
        type='mmpretrain.MAEPretrainDecoder',
        num_patches=64,
        patch_size=8,
        embed_dim=128,
        decoder_embed_dim=96,
        decoder_depth=2,
        decoder_num_heads=4,
    ),
    head=dict(
        type='mmpretrain.MAEPretrainHead',
        norm_pix=True,
        patch_size=8,
        loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2'),
    ),
    init_cfg=[
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
    ],
)

# MAE draws its masks in the model.
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=[*_base_.augmentation, dict(type='mmpretrain.PackInputs')])))

custom_hooks = [
    dict(type='mmimg2vec.SeededStepHook'),
    dict(type='mmimg2vec.UnreadableImagesHook', max_share=0.01),
    dict(type='mmimg2vec.BackboneExportHook'),
    dict(type='mmimg2vec.KNNHook', interval=_base_.max_epochs // 2, **_base_.knn),
]
