# ResNet-50 of SwAV (arXiv 2006.09882), 800 epochs, facebookresearch/swav.
_base_ = ['dino_resnet50.py']

target_generator = dict(
    teacher=dict(init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/deepcluster/swav_800ep_pretrain.pth.tar'))
)
