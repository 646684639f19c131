# ResNet-50 trained with labels, torchvision's first release (IMAGENET1K_V1), for comparison.
target_generator = dict(
    _delete_=True,  # takes the place of the one that it is merged into
    type='mmimg2vec.BackboneTargetGenerator',
    teacher=dict(
        type='mmpretrain.ResNet',
        depth=50,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.pytorch.org/models/resnet50-0676ba61.pth',
            sha256='0676ba61',
        ),
    ),
    output_stride=16,
    dtype='bfloat16',
)
