# ResNet-50 of Barlow Twins (arXiv 2103.03230), 1000 epochs, facebookresearch/barlowtwins.
_base_ = ['dino_resnet50.py']

target_generator = dict(
    teacher=dict(
        init_cfg=dict(
            checkpoint='https://dl.fbaipublicfiles.com/barlowtwins/ep1000_bs2048_lrw0.2_lrb0.0048_lambd0.0051/resnet50.pth'
        )
    )
)
