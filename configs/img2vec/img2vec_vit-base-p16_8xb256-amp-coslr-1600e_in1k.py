"""Img2Vec, ViT-B/16, 1600 epochs on ImageNet-1k (a schedule of MAE).

Paper: arXiv 2304.12535. The paper reports 85.1 % top-1 for its fine-tuned ViT-B, schedule not stated;
not measured here.
Time: about 103 hours on 8 A100-80G by arithmetic, not measured: 21.8 GMAC per image and step against MAE's 29.3,
for which mmpretrain logs about 515 images/s per GPU (a ViT-B/16; larger ones use a GPU better, smaller ones worse).
Run: bash tools/dist_train.sh configs/img2vec/img2vec_vit-base-p16_8xb256-amp-coslr-1600e_in1k.py 8
"""

_base_ = ['img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k.py']

train_cfg = dict(max_epochs=1600)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-4,
        by_epoch=True,
        begin=0,
        end=40,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=40,
        end=1600,
        convert_to_iter_based=True,
    ),
]
