# ResNet-50 of SwAV (arXiv 2006.09882), 800 epochs, facebookresearch/swav.
target_generator = dict(
    _delete_=True,  # takes the place of the one that it is merged into
    type='mmimg2vec.BackboneTargetGenerator',
    teacher=dict(
        type='mmpretrain.ResNet',
        depth=50,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://dl.fbaipublicfiles.com/deepcluster/swav_800ep_pretrain.pth.tar',
        ),
    ),
    output_stride=16,
    dtype='bfloat16',
)
