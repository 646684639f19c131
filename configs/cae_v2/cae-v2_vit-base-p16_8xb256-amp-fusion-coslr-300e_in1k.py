"""Ablation: regressor and class token read a learned weighted sum of six encoder blocks, as in MFF (arXiv 2308.00261).

Paper: arXiv 2211.09799, which takes the last block alone. An ablation; not measured here.
Run: bash tools/dist_train.sh configs/cae_v2/cae-v2_vit-base-p16_8xb256-amp-fusion-coslr-300e_in1k.py 8
"""

_base_ = ['cae-v2_vit-base-p16_8xb256-amp-coslr-300e_in1k.py']

model = dict(fusion=dict(type='mmimg2vec.MultiLevelFusion', blocks=(0, 2, 4, 6, 8, 11)))
