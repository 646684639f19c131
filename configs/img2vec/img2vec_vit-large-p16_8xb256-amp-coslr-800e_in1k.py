"""Img2Vec, ViT-L/16, 800 epochs on ImageNet-1k (a schedule of MAE).

Paper: arXiv 2304.12535. The paper reports 86.7 % top-1 for its fine-tuned ViT-L, schedule not stated;
not measured here.
Time: about 130 hours on 8 A100-80G by arithmetic, not measured: 55.1 GMAC per image and step against MAE's 29.3,
for which mmpretrain logs about 515 images/s per GPU (a ViT-B/16; larger ones use a GPU better, smaller ones worse).
Run: bash tools/dist_train.sh configs/img2vec/img2vec_vit-large-p16_8xb256-amp-coslr-800e_in1k.py 8
"""

_base_ = ['img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k.py']

# Six blocks, evenly spread, as the six of ViT-B (the project's choice).
model = dict(backbone=dict(arch='large'), fusion=dict(blocks=(0, 5, 9, 14, 18, 23)))

train_cfg = dict(max_epochs=800)
_base_.param_scheduler[1].end = 800
