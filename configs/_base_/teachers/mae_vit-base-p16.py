# ViT-B/16 of MAE (arXiv 2111.06377), facebookresearch/mae.
# Needs timm, which builds the network; mean, std and the size of its images are those of the release.
target_generator = dict(
    _delete_=True,  # takes the place of the one that it is merged into
    type='mmimg2vec.BackboneTargetGenerator',
    teacher=dict(
        type='mmimg2vec.TimmTeacher',
        model_name='vit_base_patch16_224.mae',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_base.pth',
        ),
    ),
    dtype='bfloat16',
)
