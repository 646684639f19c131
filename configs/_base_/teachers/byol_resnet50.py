# ResNet-50 of BYOL (arXiv 2006.07733), 200 epochs, trained by OpenMMLab; the authors' own release is not
# for torch.
_base_ = ['dino_resnet50.py']

target_generator = dict(
    teacher=dict(
        init_cfg=dict(
            checkpoint='https://mmassets.onedl.ai/mmselfsup/1.x/byol/byol_resnet50_16xb256-coslr-200e_in1k/byol_resnet50_16xb256-coslr-200e_in1k_20220825-de817331.pth'
        )
    )
)
