"""Ablation: MAE's decoder (8 blocks of self-attention over all patches) instead of cross-attention.

Paper: arXiv 2304.12535. An ablation; not measured here.
Run: bash tools/dist_train.sh configs/img2vec/img2vec_vit-base-p16_8xb256-amp-selfattn-coslr-300e_in1k.py 8
"""

_base_ = ['img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k.py']

# All masked patches are compared: this decoder computes them all anyway.
model = dict(
    neck=dict(_delete_=True, type='mmimg2vec.SelfAttentionDecoder', embed_dims=512, depth=8, num_heads=16),
    head=dict(share=1.0),
)
