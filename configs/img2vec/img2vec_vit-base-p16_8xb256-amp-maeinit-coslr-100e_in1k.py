"""Img2Vec, ViT-B/16, starting from the weights of MAE (1600 epochs) instead of random ones.

Paper: arXiv 2304.12535. Not measured here.
MAE: arXiv 2111.06377, weights of mmpretrain.
Time: about 6 hours on 8 A100-80G by arithmetic, not measured: 21.8 GMAC per image and step against MAE's 29.3,
for which mmpretrain logs about 515 images/s per GPU (a ViT-B/16; larger ones use a GPU better, smaller ones worse).
Run: bash tools/dist_train.sh configs/img2vec/img2vec_vit-base-p16_8xb256-amp-maeinit-coslr-100e_in1k.py 8
"""

_base_ = ['img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k.py']

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://mmassets.onedl.ai/mmselfsup/1.x/mae/mae_vit-base-p16_8xb512-fp16-coslr-1600e_in1k/mae_vit-base-p16_8xb512-fp16-coslr-1600e_in1k_20220825-f7569ca2.pth',
            prefix='backbone.',
        )
    )
)

# A shorter schedule, as the weights are good ones already (the project's choice).
train_cfg = dict(max_epochs=100)
_base_.param_scheduler[0].end = _base_.param_scheduler[1].begin = 10
_base_.param_scheduler[1].end = 100
