"""The whole way at full size by MFF: the chain of img2vec_vit-base.py with MFF's pre-training and recipes.

Look first: python tools/chain.py configs/chains/mff_vit-base.py --launcher pytorch --dry-run
"""

_base_ = ['img2vec_vit-base.py']

title = 'MFF ViT-B/16: ImageNet, COCO, ADE20K'
introduction = """
A ViT-B/16 is pre-trained by MFF on the images of ImageNet-1k without their labels: it predicts masked pixels from
several of its blocks. Then it becomes a classifier (ImageNet-1k), a detector (COCO) and a segmenter (ADE20K), each
beside the same training from scratch.
"""
work_dir = 'work_dirs/chain/mff_vit-base'

_pretraining = dict(
    title='Pre-training: MFF, without labels', config='configs/mff/mff_vit-base-p16_8xb512-amp-coslr-300e_in1k.py'
)
stages = [dict(stage, **(_pretraining if stage['name'] == 'pretrain' else {})) for stage in _base_.stages]
