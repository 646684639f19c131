# ResNet-50 of DINO (arXiv 2104.14294), facebookresearch/dino; 14 x 14 tokens of 2048 at 224 px.
target_generator = dict(
    _delete_=True,  # takes the place of the one that it is merged into
    type='mmimg2vec.BackboneTargetGenerator',
    teacher=dict(
        type='mmpretrain.ResNet',
        depth=50,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://dl.fbaipublicfiles.com/dino/dino_resnet50_pretrain/dino_resnet50_pretrain.pth',
        ),
    ),
    output_stride=16,
    dtype='bfloat16',
)
