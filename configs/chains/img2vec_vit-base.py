"""The whole way at full size: Img2Vec ViT-B/16 on ImageNet-1k, then ImageNet, COCO and ADE20K, each also from scratch.

For one machine of 8 GPUs. The long ViTDet recipe (64 GPUs) and other sizes: put their configs in the place of these.
Look first: python tools/chain.py configs/chains/img2vec_vit-base.py --launcher pytorch --dry-run
Part of it: ... --only pretrain detect
"""

title = 'Img2Vec ViT-B/16: ImageNet, COCO, ADE20K'
introduction = """
A ViT-B/16 is pre-trained by Img2Vec on the images of ImageNet-1k without their labels, with DINO's ResNet-50 as
teacher. Then it becomes a classifier (ImageNet-1k), a detector (COCO) and a segmenter (ADE20K), each beside the same
training from scratch.
"""
work_dir = 'work_dirs/chain/img2vec_vit-base'
seed = 0
gpus = 8

_benchmarks = 'configs/benchmarks'
_classify = f'{_benchmarks}/classification/vit-base-p16'
configs = dict(
    pretrain='configs/img2vec/img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k.py',
    knn=f'{_benchmarks}/classification/vit_8xb128-knn_in1k.py',
    linear=f'{_classify}_8xb2048-linear-coslr-90e_in1k.py',
    finetune=f'{_classify}_8xb128-coslr-100e_in1k.py',
    detect=f'{_benchmarks}/detection/mask-rcnn_vitdet-base-p16-sfp_8xb2-ms-1x_coco.py',
    segment_linear=f'{_benchmarks}/segmentation/fcn_vit-base-p16_8xb2-amp-linear-40k_ade20k-512x512.py',
    segment=f'{_benchmarks}/segmentation/upernet_vit-base-p16_8xb2-amp-160k_ade20k-512x512.py',
)

_from_pretrained = dict(IMG2VEC_BACKBONE='{pretrain}/backbone.pth')
_scratch = {
    'model.backbone.init_cfg': None,
    # Layer-wise decay would hold back layers that have learnt nothing yet.
    'optim_wrapper.paramwise_cfg.layer_decay_rate': 1.0,
}

stages = [
    dict(name='pretrain', title='Pre-training: Img2Vec, without labels', config=configs['pretrain']),
    dict(
        name='knn',
        title='Frozen features',
        command=f'tools/probe.py {configs["knn"]} --work-dir {{knn}}',
        env=_from_pretrained,
    ),
    dict(
        name='linear',
        title='Classification, linear layer on the frozen backbone',
        config=configs['linear'],
        env=_from_pretrained,
    ),
    dict(
        name='segment-linear',
        title='Segmentation, linear layer on the frozen backbone',
        config=configs['segment_linear'],
        env=_from_pretrained,
    ),
    dict(name='finetune', title='Classification, fine-tuned', config=configs['finetune'], env=_from_pretrained),
    dict(
        name='finetune-scratch',
        title='Classification, from scratch',
        config=configs['finetune'],
        options=_scratch,
        baseline_of='finetune',
    ),
    dict(name='detect', title='Detection (Mask R-CNN)', config=configs['detect'], env=_from_pretrained),
    dict(
        name='detect-scratch',
        title='Detection (Mask R-CNN), from scratch',
        config=configs['detect'],
        options=_scratch,
        baseline_of='detect',
    ),
    dict(name='segment', title='Segmentation (UPerNet)', config=configs['segment'], env=_from_pretrained),
    dict(
        name='segment-scratch',
        title='Segmentation (UPerNet), from scratch',
        config=configs['segment'],
        options=_scratch,
        baseline_of='segment',
    ),
    dict(
        name='segment-ms',
        title='Segmentation (UPerNet), tested at several sizes',
        command=f'tools/test.py {configs["segment"]} {{segment}}/iter_160000.pth --tta --work-dir {{segment-ms}}',
        env=_from_pretrained,
    ),
]
