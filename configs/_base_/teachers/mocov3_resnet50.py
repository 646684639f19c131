# ResNet-50 of MoCo v3 (arXiv 2104.02057), 1000 epochs, facebookresearch/moco-v3; its base encoder is taken.
_base_ = ['dino_resnet50.py']

target_generator = dict(
    teacher=dict(init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/moco-v3/r-50-1000ep/r-50-1000ep.pth.tar'))
)
