"""Img2Vec, ViT-S/16, 300 epochs on ImageNet-1k.

Paper: arXiv 2304.12535. Expected figure: none known for this schedule, and not measured here.
The dataloaders have to give 10 000 images/s for that; see .dev_scripts/benchmark_loader.py.
Time: about 10 hours on 8 A100-80G by arithmetic, not measured: 11.6 GMAC per image and step against MAE's 29.3,
for which mmpretrain logs about 515 images/s per GPU (a ViT-B/16; larger ones use a GPU better, smaller ones worse).
Run: bash tools/dist_train.sh configs/img2vec/img2vec_vit-small-p16_8xb256-amp-coslr-300e_in1k.py 8
"""

_base_ = ['img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k.py']

model = dict(backbone=dict(arch='deit-small'))  # 384 wide, as in the literature; mmpretrain's 'small' is another one
