# CAE v2 (arXiv 2211.09799) with a ViT-B/16 student at 224 px and CLIP's ViT-B/16 as teacher, as the official code has
# it.
model = dict(
    type='mmimg2vec.CAEv2',
    data_preprocessor=dict(
        type='mmimg2vec.MaskedImagePreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type='mmimg2vec.MaskedVisionTransformer',
        arch='base',
        img_size=224,
        patch_size=16,
        pos_embed='sincos',
        key_bias=False,
        # Downstream configs set it too: the checkpoint has these weights.
        layer_scale_init_value=0.1,
        drop_path_rate=0.1,
    ),
    neck=dict(
        type='mmimg2vec.LatentRegressor',
        embed_dims=768,
        depth=4,
        num_heads=12,
        drop_path_rate=0.1,
        layer_scale_init_value=0.1,
    ),
    head=dict(
        type='mmimg2vec.TokenAlignmentHead',
        loss=dict(type='mmimg2vec.CosineFeatureLoss'),
        supervision='all',  # 'visible' or 'masked' patches alone: the paper's question
    ),
    target_generator=dict(
        type='mmimg2vec.CLIPTargetGenerator',
        teacher=dict(
            arch='base',
            img_size=224,
            patch_size=16,
            out_channels=512,
            activation='quick_gelu',
            # CLIP's ViT-B/16, its tensors alone: OpenAI's ViT-B-16.pt is a program, which is refused with the command
            # that keeps its tensors; open_clip's and transformers' files load as they are.
            init_cfg=dict(type='Pretrained', checkpoint='{{$IMG2VEC_CLIP:data/clip/ViT-B-16.pth}}'),
        ),
        dtype='bfloat16',
    ),
)
