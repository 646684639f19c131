"""CAE v2 on Shapes: a small ViT aligned with the tokens of the demo's CLIP.

The teacher is that of clip_vit-tiny-p8_1xb128-coslr-10e_shapes.py; environment variable IMG2VEC_CLIP names another
checkpoint. The paper's questions on the command line, the mask being number 3 of the pipeline:
--cfg-options model.head.supervision=visible train_dataloader.dataset.dataset.pipeline.3.mask_ratio=0.25
(supervision: all, visible or masked). Downstream the backbone has LayerScale:
--cfg-options model.backbone.layer_scale_init_value=0.1. Measured figures: docs/results.md.
Run: python tools/train.py configs/demo/cae-v2_vit-tiny-p8_1xb128-coslr-8e_shapes.py
"""

_base_ = [
    '../_base_/models/shapes_vit-tiny-p8.py',
    '../_base_/datasets/shapes_masked.py',
    '../_base_/schedules/shapes_adamw_coslr_8e.py',
    '../_base_/default_runtime.py',
]

work_dir = 'work_dirs/demo/cae-v2'

model = dict(
    type='mmimg2vec.CAEv2',
    backbone=dict(key_bias=False, layer_scale_init_value=0.1),
    neck=dict(type='mmimg2vec.LatentRegressor', embed_dims=96, depth=2, num_heads=4, layer_scale_init_value=0.1),
    head=dict(type='mmimg2vec.TokenAlignmentHead', loss=dict(type='mmimg2vec.CosineFeatureLoss'), supervision='all'),
    target_generator=dict(
        type='mmimg2vec.CLIPTargetGenerator',
        teacher=dict(
            arch=dict(embed_dims=96, num_layers=3, num_heads=4, feedforward_channels=384),
            img_size=64,
            patch_size=8,
            out_channels=64,
            activation='quick_gelu',
            init_cfg=dict(type='Pretrained', checkpoint='{{$IMG2VEC_CLIP:work_dirs/demo/clip/clip.pth}}'),
        ),
    ),
)

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            pipeline=[
                dict(type='mmimg2vec.LoadImage'),
                dict(
                    type='mmpretrain.RandomResizedCrop',
                    scale=64,
                    crop_ratio_range=(0.4, 1.0),
                    backend='pillow',
                    interpolation='bicubic',
                ),
                dict(type='mmpretrain.RandomFlip', prob=0.5),
                # Blocks of 5 of the 64 patches and more, as of 16 of 196 at full size.
                dict(type='mmimg2vec.BlockTokenMask', patch_size=8, mask_ratio=0.5, min_block=5),
                dict(type='mmimg2vec.PackMaskedInputs'),
            ]
        )
    )
)

optim_wrapper = dict(optimizer=dict(betas=(0.9, 0.999)), clip_grad=dict(max_norm=3.0))

custom_hooks = [*_base_.custom_hooks, dict(type='mmimg2vec.KNNHook', interval=_base_.max_epochs // 2, **_base_.knn)]
