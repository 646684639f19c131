"""Ablation: targets as the teacher gives them, not normalized.

Paper: arXiv 2304.12535. An ablation; not measured here.
Run: bash tools/dist_train.sh configs/img2vec/img2vec_vit-base-p16_8xb256-amp-rawtarget-coslr-300e_in1k.py 8
"""

_base_ = ['img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k.py']

model = dict(target_generator=dict(normalization='none'))
