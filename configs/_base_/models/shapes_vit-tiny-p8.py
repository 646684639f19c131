# The student of the demo's pre-trainings: a ViT of four blocks, 128 wide, on 8 x 8 patches of 8 px.
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    backbone=dict(
        type='mmimg2vec.MaskedVisionTransformer',
        arch=dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512),
        img_size=64,
        patch_size=8,
    ),
)
