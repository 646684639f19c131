"""Ablation: without predicting the feature of the whole image (global semantic learning off).

Paper: arXiv 2304.12535. An ablation; not measured here.
Run: bash tools/dist_train.sh configs/img2vec/img2vec_vit-base-p16_8xb256-amp-noglobal-coslr-300e_in1k.py 8
"""

_base_ = ['img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k.py']

model = dict(head=dict(global_weight=0.0))
