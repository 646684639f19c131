# ResNet-50 of Barlow Twins (arXiv 2103.03230), 1000 epochs, facebookresearch/barlowtwins.
target_generator = dict(
    _delete_=True,  # takes the place of the one that it is merged into
    type='mmimg2vec.BackboneTargetGenerator',
    teacher=dict(
        type='mmpretrain.ResNet',
        depth=50,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://dl.fbaipublicfiles.com/barlowtwins/ep1000_bs2048_lrw0.2_lrb0.0048_lambd0.0051/resnet50.pth',
        ),
    ),
    output_stride=16,
    dtype='bfloat16',
)
