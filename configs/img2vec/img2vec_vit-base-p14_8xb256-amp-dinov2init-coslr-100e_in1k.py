"""Img2Vec, ViT-B/14, starting from the weights of DINOv2 instead of random ones.

Paper: arXiv 2304.12535. Not measured here.
DINOv2: arXiv 2304.07193, weights of mmpretrain, of which downstream configs then need
`patch_size=14, layer_scale_init_value=1e-5` too.
Run: bash tools/dist_train.sh configs/img2vec/img2vec_vit-base-p14_8xb256-amp-dinov2init-coslr-100e_in1k.py 8
"""

_base_ = ['img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k.py']

# 16 x 16 patches of 14 px; the teacher's stride is 16, so it sees the same image at 256 px.
_base_.train_dataloader.dataset.dataset.pipeline[3].patch_size = 14

model = dict(
    backbone=dict(
        patch_size=14,
        layer_scale_init_value=1e-5,  # DINOv2 has LayerScale, and a position embedding that is learnt
        pos_embed='learned',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://mmassets.onedl.ai/mmpretrain/v1.0/dinov2/vit-base-p14_dinov2-pre_3rdparty_20230426-ba246503.pth',
            prefix='backbone.',
        ),
    ),
    target_generator=dict(input_size=256),
)

# A shorter schedule, as the weights are good ones already (the project's choice).
train_cfg = dict(max_epochs=100)
_base_.param_scheduler[0].end = _base_.param_scheduler[1].begin = 10
_base_.param_scheduler[1].end = 100
