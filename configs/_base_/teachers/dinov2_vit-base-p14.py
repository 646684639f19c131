# ViT-B/14 of DINOv2 (arXiv 2304.07193), facebookresearch/dinov2. It sees the images at 196 px
# where a student of 16 px patches sees them at 224.
# Needs timm, which builds the network; mean, std and the size of its images are those of the release.
target_generator = dict(
    _delete_=True,  # takes the place of the one that it is merged into
    type='mmimg2vec.BackboneTargetGenerator',
    teacher=dict(
        type='mmimg2vec.TimmTeacher',
        model_name='vit_base_patch14_dinov2.lvd142m',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth',
        ),
    ),
    dtype='bfloat16',
)
