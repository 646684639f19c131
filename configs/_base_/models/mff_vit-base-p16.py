# MFF (arXiv 2308.00261) with a ViT-B/16 at 224 px: MAE's decoder and normalized pixels, and an encoder whose output is
# a learned weighted sum of six blocks.
model = dict(
    type='mmimg2vec.MFF',
    data_preprocessor=dict(
        type='mmimg2vec.MaskedImagePreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type='mmimg2vec.MaskedVisionTransformer', arch='base', img_size=224, patch_size=16, pos_embed='sincos'
    ),
    fusion=dict(type='mmimg2vec.MultiLevelFusion', blocks=(0, 2, 4, 6, 8, 11)),  # None: MAE
    # mmpretrain.MAEPretrainDecoder, on masks from the data pipeline.
    neck=dict(type='mmimg2vec.SelfAttentionDecoder', embed_dims=512, depth=8, num_heads=16),
    head=dict(
        type='mmimg2vec.FeatureHead',
        loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2'),
        supervision='masked',
        share=1.0,
        global_weight=0,  # pixels have no feature of the whole image
    ),
    target_generator=dict(type='mmimg2vec.PixelTargetGenerator', norm_pix=True),
)
