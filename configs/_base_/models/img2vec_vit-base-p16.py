# Img2Vec (arXiv 2304.12535) with a ViT-B/16 student at 224 px and DINO's ResNet-50 as teacher.
# What the paper leaves open (loss, target normalization, decoder, fused blocks) is the project's choice.
model = dict(
    type='mmimg2vec.Img2Vec',
    data_preprocessor=dict(
        type='mmimg2vec.MaskedImagePreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type='mmimg2vec.MaskedVisionTransformer', arch='base', img_size=224, patch_size=16, pos_embed='sincos'
    ),
    # The blocks that MFF fuses (arXiv 2308.00261); `fusion=None` takes the last block alone.
    fusion=dict(type='mmimg2vec.MultiLevelFusion', blocks=(0, 2, 4, 6, 8, 11)),
    neck=dict(type='mmimg2vec.CrossAttentionDecoder', embed_dims=512, depth=2, num_heads=16),
    head=dict(
        type='mmimg2vec.FeatureHead',
        loss=dict(type='mmimg2vec.SmoothL1FeatureLoss'),
        supervision='masked',
        share=0.5,  # half of the masked patches, drawn per image, stand for all of them
        global_weight=1.0,  # 0 switches the term on the whole image's feature off
    ),
    target_generator=dict(
        type='mmimg2vec.BackboneTargetGenerator',
        teacher=dict(
            type='mmpretrain.ResNet',
            depth=50,
            init_cfg=dict(
                type='Pretrained',
                checkpoint='https://dl.fbaipublicfiles.com/dino/dino_resnet50_pretrain/dino_resnet50_pretrain.pth',
            ),
        ),
        output_stride=16,  # its last stage dilated, exactly: 14 x 14 tokens at 224 px, as the student has
        normalization='layer',
        dtype='bfloat16',
    ),
)
