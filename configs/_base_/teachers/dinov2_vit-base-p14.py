# ViT-B/14 of DINOv2 (arXiv 2304.07193), facebookresearch/dinov2. It sees the images at 196 px
# where a student of 16 px patches sees them at 224.
# Needs timm, which builds the network; mean, std and the size of its images are those of the release.
_base_ = ['dino_vit-small-p16.py']

target_generator = dict(
    teacher=dict(
        model_name='vit_base_patch14_dinov2.lvd142m',
        init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth'),
    )
)
