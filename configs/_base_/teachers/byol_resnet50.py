# ResNet-50 of BYOL (arXiv 2006.07733), 200 epochs, trained by OpenMMLab; the authors' own release is not
# for torch.
target_generator = dict(
    _delete_=True,  # takes the place of the one that it is merged into
    type='mmimg2vec.BackboneTargetGenerator',
    teacher=dict(
        type='mmpretrain.ResNet',
        depth=50,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://mmassets.onedl.ai/mmselfsup/1.x/byol/byol_resnet50_16xb256-coslr-200e_in1k/byol_resnet50_16xb256-coslr-200e_in1k_20220825-de817331.pth',
        ),
    ),
    output_stride=16,
    dtype='bfloat16',
)
