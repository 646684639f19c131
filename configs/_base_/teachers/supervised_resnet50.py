# ResNet-50 trained with labels, torchvision's first release (IMAGENET1K_V1), for comparison.
_base_ = ['dino_resnet50.py']

target_generator = dict(
    teacher=dict(
        init_cfg=dict(checkpoint='https://download.pytorch.org/models/resnet50-0676ba61.pth', sha256='0676ba61')
    )
)
