"""What a ViT-B/16 backbone of yours is worth: the chain of img2vec_vit-base.py without its pre-training.

IMG2VEC_BACKBONE=path/to/backbone.pth python tools/chain.py configs/chains/downstream_vit-base.py --launcher pytorch
"""

_base_ = ['img2vec_vit-base.py']

title = 'A ViT-B/16 backbone: ImageNet, COCO, ADE20K'
introduction = """
A pre-trained ViT-B/16 becomes a classifier (ImageNet-1k), a detector (COCO) and a segmenter (ADE20K), each beside the
same training from scratch.
"""
work_dir = 'work_dirs/chain/downstream_vit-base'
# The configs read IMG2VEC_BACKBONE themselves.
stages = [dict(stage, env=dict()) for stage in _base_.stages if stage['name'] != 'pretrain']
