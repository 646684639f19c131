"""The whole way on embedded images: a teacher, Img2Vec, and what the backbone is worth, each beside from scratch.

``make demo`` runs it: python tools/chain.py configs/chains/img2vec_shapes.py
"""

_base_ = ['../_base_/shapes_chain.py']

title = 'From unlabeled images to classifier, detector and segmenter'
introduction = """
A small vision transformer (ViT) is **pre-trained without labels** by Img2Vec: most of an image is masked, and
it predicts what a *teacher*, a small ResNet that was itself trained without labels, sees in the masked parts. Then the
same ViT is trained **with labels** for three tasks, once starting from the pre-trained weights and once from scratch,
for the same number of steps on the same images. What pre-training is worth is the difference.

The images are *Shapes*, drawn by this project: scenes of ten kinds of objects, in 1200 training and 300 validation
pictures. Everything here was trained on this machine, nothing was downloaded.
"""
work_dir = 'work_dirs/demo'

_scratch = {
    'model.backbone.init_cfg': None,
    # Layer-wise decay would hold back layers that have learnt nothing yet.
    'optim_wrapper.paramwise_cfg.layer_decay_rate': 1.0,
}
_from_pretrained = dict(IMG2VEC_BACKBONE='{pretrain}/backbone.pth')
_probe = 'tools/probe.py configs/demo/vit-tiny-p8_1xb256-knn_shapes.py'
_finetune = 'configs/demo/vit-tiny-p8_1xb64-coslr-5e_shapes.py'
_detect = 'configs/demo/mask-rcnn_vitdet-tiny-p8-sfp_1xb16-coslr-4e_shapes.py'
_segment = 'configs/demo/upernet_vit-tiny-p8_1xb16-coslr-6e_shapes-96x96.py'

# Two at a time, in an order that leaves neither core idle for long.
stages = [
    _base_.images,
    dict(
        name='teacher',
        title='Teacher: a small ResNet, by SimCLR, without labels',
        config='configs/demo/simclr_resnet-tiny_1xb128-coslr-8e_shapes.py',
        needs=['images'],
    ),
    dict(
        name='detect-scratch',
        title='Detection (Mask R-CNN), from scratch',
        config=_detect,
        options=_scratch,
        needs=['images'],
        baseline_of='detect',
    ),
    dict(
        name='pretrain',
        title='Pre-training: Img2Vec, without labels',
        config='configs/demo/img2vec_vit-tiny-p8_1xb128-coslr-8e_shapes.py',
        env=dict(IMG2VEC_TEACHER='{teacher}/backbone.pth'),
    ),
    dict(name='detect', title='Detection (Mask R-CNN)', config=_detect, env=_from_pretrained),
    dict(name='segment', title='Segmentation (UPerNet)', config=_segment, env=_from_pretrained),
    dict(name='finetune', title='Classification, fine-tuned', config=_finetune, env=_from_pretrained),
    dict(
        name='segment-scratch',
        title='Segmentation (UPerNet), from scratch',
        config=_segment,
        options=_scratch,
        needs=['images'],
        baseline_of='segment',
    ),
    dict(
        name='finetune-scratch',
        title='Classification, from scratch',
        config=_finetune,
        options=_scratch,
        needs=['images'],
        baseline_of='finetune',
    ),
    dict(name='probe', title='Frozen features', command=f'{_probe} --work-dir {{probe}}', env=_from_pretrained),
    dict(
        name='probe-scratch',
        title='Frozen features, random weights',
        command=f'{_probe} --random --seed {{seed}} --work-dir {{probe-scratch}}',
        needs=['images'],
        baseline_of='probe',
    ),
]
