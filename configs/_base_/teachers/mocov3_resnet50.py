# ResNet-50 of MoCo v3 (arXiv 2104.02057), 1000 epochs, facebookresearch/moco-v3; its base encoder is taken.
target_generator = dict(
    _delete_=True,  # takes the place of the one that it is merged into
    type='mmimg2vec.BackboneTargetGenerator',
    teacher=dict(
        type='mmpretrain.ResNet',
        depth=50,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://dl.fbaipublicfiles.com/moco-v3/r-50-1000ep/r-50-1000ep.pth.tar',
        ),
    ),
    output_stride=16,
    dtype='bfloat16',
)
