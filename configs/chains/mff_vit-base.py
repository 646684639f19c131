"""The whole way at full size by MFF: the chain of img2vec_vit-base.py with MFF's pre-training and recipes.

Look first: python tools/chain.py configs/chains/mff_vit-base.py --launcher pytorch --dry-run
"""

_base_ = ['img2vec_vit-base.py']

title = 'MFF ViT-B/16: ImageNet, COCO, ADE20K'
introduction = """
A ViT-B/16 is pre-trained by MFF on the images of ImageNet-1k without their labels: it predicts masked pixels from several of
its blocks. Then it becomes a classifier (ImageNet-1k), a detector (COCO) and a segmenter (ADE20K), each beside the same
training from scratch.
"""
work_dir = 'work_dirs/chain/mff_vit-base'

_benchmarks = 'configs/mff/benchmarks'
_upernet = f'{_benchmarks}/segmentation/upernet_vit-base-p16_mff-pre_8xb2-amp-160k_ade20k-512x512'
configs = dict(
    pretrain='configs/mff/mff_vit-base-p16_8xb512-amp-coslr-300e_in1k.py',
    knn=f'{_benchmarks}/classification/vit-base-p16_mff-pre_8xb128-knn_in1k.py',
    linear=f'{_benchmarks}/classification/vit-base-p16_mff-pre_8xb2048-linear-coslr-90e_in1k.py',
    finetune=f'{_benchmarks}/classification/vit-base-p16_mff-pre_8xb128-coslr-100e_in1k.py',
    detect=f'{_benchmarks}/detection/mask-rcnn_vitdet-base-p16-sfp_mff-pre_8xb2-ms-1x_coco.py',
    segment=f'{_upernet}.py',
    segment_ms=f'{_upernet}-ms.py',
)

# The chain of img2vec_vit-base.py with each config replaced by the one of the same use.
_other = {_base_.configs[use]: config for use, config in configs.items()}


def _replaced(stage):
    if 'config' in stage:
        return dict(stage, config=_other[stage['config']])
    words = (_other.get(word, word) for word in stage['command'].split())
    return dict(stage, command=' '.join(words))


_pretraining = dict(title='Pre-training: MFF, without labels')
stages = [dict(_replaced(stage), **(_pretraining if stage['name'] == 'pretrain' else {})) for stage in _base_.stages]
