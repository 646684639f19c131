"""Img2Vec, ViT-B/16, on one GPU: the batch of 2048 images gathered over 8 steps.

Paper: arXiv 2304.12535. The updates are those of 8 GPUs; not measured here.
Time: about 154 hours on 1 A100-80G by arithmetic, not measured: 21.8 GMAC per image and step against MAE's 29.3,
for which mmpretrain logs about 515 images/s per GPU (a ViT-B/16; larger ones use a GPU better, smaller ones worse).
Run: python tools/train.py configs/img2vec/img2vec_vit-base-p16_1xb256-accum8-amp-coslr-300e_in1k.py
"""

_base_ = ['img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k.py']

# With other numbers of GPUs change accumulative_counts alone, and base_batch_size to 2048 / accumulative_counts.
optim_wrapper = dict(accumulative_counts=8)
auto_scale_lr = dict(base_batch_size=2048 // 8)
