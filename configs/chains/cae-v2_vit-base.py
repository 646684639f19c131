"""The whole way at full size by CAE v2: the chain of img2vec_vit-base.py with CAE v2's pre-training and recipes.

CLIP's ViT-B/16 is the teacher, from data/clip/ViT-B-16.pth or IMG2VEC_CLIP (configs/cae_v2/README.md).
Look first: python tools/chain.py configs/chains/cae-v2_vit-base.py --launcher pytorch --dry-run
"""

_base_ = ['img2vec_vit-base.py']

title = 'CAE v2 ViT-B/16: ImageNet, COCO, ADE20K'
introduction = """
A ViT-B/16 is pre-trained by CAE v2 on the images of ImageNet-1k: it predicts what CLIP, the teacher, sees in them. Then
it becomes a classifier (ImageNet-1k), a detector (COCO) and a segmenter (ADE20K), each beside the same training from
scratch.

**The teacher saw captions**: CLIP was trained on images of the web with their captions, so this pre-training has had
help from text, although no label of ImageNet was used.
"""
work_dir = 'work_dirs/chain/cae-v2_vit-base'

_classify = 'configs/benchmarks/classification/vit-base-p16'
# Where CAE v2's recipe is another one (configs/benchmarks/README.md).
_changed = dict(
    pretrain=dict(
        title='Pre-training: CAE v2, with a teacher that saw captions',
        config='configs/cae_v2/cae-v2_vit-base-p16_8xb256-amp-coslr-300e_in1k.py',
    ),
    linear=dict(options={'train_dataloader.batch_size': 1024}),
    finetune=dict(config=f'{_classify}_cae-v2-pre_8xb128-coslr-100e_in1k.py'),
    segment=dict(
        options={
            'optim_wrapper.optimizer.lr': 2e-4,
            'model.backbone.type': 'mmimg2vec.RelativePositionVisionTransformer',
        },
    ),
)


def _by_cae_v2(stage):
    name = stage['name'].removesuffix('-scratch')
    changed = dict(_changed.get(name, {}))
    options = {**stage.get('options', {}), **changed.pop('options', {})}
    if name != stage['name']:
        options['model.backbone.layer_scale_init_value'] = 0.1  # as the backbone has that was pre-trained
    return dict(stage, **changed, **(dict(options=options) if options else {}))


_attentive = dict(
    name='attentive',
    title='Classification, attentive probe of the frozen backbone',
    config=f'{_classify}_8xb1024-attentive-coslr-90e_in1k.py',
    env=dict(IMG2VEC_BACKBONE='{pretrain}/backbone.pth'),
)
stages = [*map(_by_cae_v2, _base_.stages), _attentive]
