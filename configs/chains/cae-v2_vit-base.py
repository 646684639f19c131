"""The whole way at full size by CAE v2: the chain of img2vec_vit-base.py with CAE v2's pre-training and recipes.

CLIP's ViT-B/16 is the teacher, from data/clip/ViT-B-16.pth or IMG2VEC_CLIP (configs/cae_v2/README.md).
Look first: python tools/chain.py configs/chains/cae-v2_vit-base.py --launcher pytorch --dry-run
"""

_base_ = ['img2vec_vit-base.py']

title = 'CAE v2 ViT-B/16: ImageNet, COCO, ADE20K'
introduction = """
A ViT-B/16 is pre-trained by CAE v2 on the images of ImageNet-1k: it predicts what CLIP, the teacher, sees in them. Then it
becomes a classifier (ImageNet-1k), a detector (COCO) and a segmenter (ADE20K), each beside the same training from scratch.

**The teacher saw captions**: CLIP was trained on images of the web with their captions, so this pre-training has had help from
text, although no label of ImageNet was used.
"""
work_dir = 'work_dirs/chain/cae-v2_vit-base'

_benchmarks = 'configs/cae_v2/benchmarks'
_upernet = f'{_benchmarks}/segmentation/upernet_vit-base-p16_cae-v2-pre_8xb2-amp-160k_ade20k-512x512'
configs = dict(
    pretrain='configs/cae_v2/cae-v2_vit-base-p16_8xb256-amp-coslr-300e_in1k.py',
    knn=f'{_benchmarks}/classification/vit-base-p16_cae-v2-pre_8xb128-knn_in1k.py',
    linear=f'{_benchmarks}/classification/vit-base-p16_cae-v2-pre_8xb1024-linear-coslr-90e_in1k.py',
    finetune=f'{_benchmarks}/classification/vit-base-p16_cae-v2-pre_8xb128-coslr-100e_in1k.py',
    detect=f'{_benchmarks}/detection/mask-rcnn_vitdet-base-p16-sfp_cae-v2-pre_8xb2-ms-1x_coco.py',
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


_pretraining = dict(title='Pre-training: CAE v2, with a teacher that saw captions')
_attentive = dict(
    name='attentive',
    title='Classification, attentive probe of the frozen backbone',
    config=f'{_benchmarks}/classification/vit-base-p16_cae-v2-pre_8xb1024-attentive-coslr-90e_in1k.py',
    env=dict(IMG2VEC_BACKBONE='{pretrain}/backbone.pth'),
)
stages = [
    *[dict(_replaced(stage), **(_pretraining if stage['name'] == 'pretrain' else {})) for stage in _base_.stages],
    _attentive,
]
