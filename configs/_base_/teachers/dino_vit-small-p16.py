# ViT-S/16 of DINO (arXiv 2104.14294), facebookresearch/dino.
# Needs timm, which builds the network; mean, std and the size of its images are those of the release.
target_generator = dict(
    _delete_=True,  # takes the place of the one that it is merged into
    type='mmimg2vec.BackboneTargetGenerator',
    teacher=dict(
        type='mmimg2vec.TimmTeacher',
        model_name='vit_small_patch16_224.dino',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://dl.fbaipublicfiles.com/dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth',
        ),
    ),
    dtype='bfloat16',
)
