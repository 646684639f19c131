"""Which target: pixels (MAE) or the features of a teacher (Img2Vec)? And what do its savings cost in quality?

The same student and images, 336 updates each, frozen features compared, beside those of a student with random weights.
``make experiment ARGS="configs/chains/targets_shapes.py"`` runs it over several seeds. Time to quality is updates by
step time, which ``make benchmark`` measures interleaved.
"""

_base_ = ['../_base_/shapes_chain.py']

title = 'Pixels or features: what should a masked autoencoder predict, and from how many images?'
introduction = """
The same small vision transformer is pre-trained without labels: it predicts masked *pixels* (MAE), or the *features*
that a small self-supervised ResNet, the teacher, has of the masked parts (Img2Vec), from one, two or four masks per
image, with a light decoder and a slow one. All have 336 updates. Then its frozen features are asked how well they tell
ten classes apart, and those of MAE and of the demo's Img2Vec how well a linear layer tells from one token what is in
its place (mIoU); beside them those of the same transformer with random weights.
"""
work_dir = 'work_dirs/targets'

_probe = 'tools/probe.py configs/demo/vit-tiny-p8_1xb256-knn_shapes.py'
_segment = 'configs/demo/fcn_vit-tiny-p8_1xb16-linear-coslr-4e_shapes-96x96.py'


def _masks(images, masks, epochs):
    """Options for fewer images per update and K masks of each: 42 updates of warm-up and 336 in all, as the demo."""
    return {
        'train_dataloader.batch_size': images,
        'train_dataloader.dataset.dataset.pipeline.3.masks_per_image': masks,
        # The learning rate stays that of 128 views per update.
        'auto_scale_lr.base_batch_size': images,
        'train_cfg.max_epochs': epochs,
        'param_scheduler.0.end': epochs / 8,
        'param_scheduler.1.begin': epochs / 8,
        'param_scheduler.1.end': epochs,
    }


# The loss of the reference (configs/_base_/models/img2vec_vit-base-p16.py); the demo's is the cosine at all patches.
_reference_loss = {
    'model.head.loss.type': 'mmimg2vec.SmoothL1FeatureLoss',
    'model.target_generator.normalization': 'layer',
}
# Name, title, options of the demo's pre-training.
_img2vec = [
    ('img2vec', '128 images x 1 mask (the demo)', {}),
    ('img2vec-64x2', '64 images x 2 masks', _masks(64, 2, 4)),
    ('img2vec-32x4', '32 images x 4 masks', _masks(32, 4, 2)),
    ('img2vec-32x1', '32 images x 1 mask, a quarter of the views', _masks(32, 1, 2)),
    (
        'img2vec-half',
        "the reference's loss at half of the masked patches",
        {**_reference_loss, 'model.head.share': 0.5},
    ),
    ('img2vec-slow', 'the same at all masked patches, 8 decoder blocks', {**_reference_loss, 'model.neck.depth': 8}),
]
_probed = [('mae', 'MAE'), *((name, f'Img2Vec, {title}') for name, title, _ in _img2vec)]

stages = [
    _base_.images,
    dict(
        name='teacher',
        title='Teacher: a small ResNet, by SimCLR, without labels',
        config='configs/demo/simclr_resnet-tiny_1xb128-coslr-8e_shapes.py',
        needs=['images'],
    ),
    dict(
        name='mae',
        title='Pre-training: MAE',
        config='configs/demo/mae_vit-tiny-p8_1xb128-coslr-8e_shapes.py',
        needs=['images'],
    ),
    *[
        dict(
            name=name,
            title=f'Pre-training: Img2Vec, {title}',
            config='configs/demo/img2vec_vit-tiny-p8_1xb128-coslr-8e_shapes.py',
            options=options,
            env=dict(IMG2VEC_TEACHER='{teacher}/backbone.pth'),
        )
        for name, title, options in _img2vec
    ],
    *[
        dict(
            name=f'probe-{name}',
            title=f'Frozen features, {title}',
            command=f'{_probe} --work-dir {{probe-{name}}}',
            env=dict(IMG2VEC_BACKBONE=f'{{{name}}}/backbone.pth'),
        )
        for name, title in _probed
    ],
    *[
        dict(
            name=f'segment-{name}',
            title=f'Linear segmentation, {title}',
            config=_segment,
            env=dict(IMG2VEC_BACKBONE=f'{{{name}}}/backbone.pth'),
        )
        for name, title in (('mae', 'MAE'), ('img2vec', 'Img2Vec'))
    ],
    dict(
        name='segment-random',
        title='Linear segmentation, random weights',
        config=_segment,
        options={'model.backbone.init_cfg': None},
        needs=['images'],
    ),
    dict(
        name='probe-teacher',
        title='Frozen features, the teacher',
        command='tools/probe.py configs/demo/resnet-tiny_1xb256-knn_shapes.py --work-dir {probe-teacher}',
        env=dict(IMG2VEC_BACKBONE='{teacher}/backbone.pth'),
    ),
    dict(
        name='probe-random',
        title='Frozen features, random weights',
        command=f'{_probe} --random --seed {{seed}} --work-dir {{probe-random}}',
        needs=['images'],
    ),
]
differences = [
    ('probe-img2vec', 'probe-mae'),
    ('probe-img2vec', 'probe-teacher'),
    ('probe-img2vec', 'probe-random'),
    ('probe-mae', 'probe-random'),
    *[(f'probe-{name}', 'probe-img2vec') for name in ('img2vec-64x2', 'img2vec-32x4', 'img2vec-32x1', 'img2vec-half')],
    ('probe-img2vec-32x4', 'probe-img2vec-32x1'),
    ('probe-img2vec-32x1', 'probe-mae'),
    ('probe-img2vec-half', 'probe-img2vec-slow'),
    ('segment-img2vec', 'segment-mae'),
    *[(f'segment-{name}', 'segment-random') for name in ('mae', 'img2vec')],
]
