# ViT-B/16 of MAE (arXiv 2111.06377), facebookresearch/mae.
# Needs timm, which builds the network; mean, std and the size of its images are those of the release.
_base_ = ['dino_vit-small-p16.py']

target_generator = dict(
    teacher=dict(
        model_name='vit_base_patch16_224.mae',
        init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_base.pth'),
    )
)
