"""Which target: pixels (MAE) or the features of a teacher (Img2Vec)? The same student, images, steps and optimizer.

The features are compared frozen, beside those of a student with random weights.
``make experiment ARGS="configs/chains/targets_shapes.py"`` runs it over several seeds.
"""

_base_ = ['../_base_/shapes_chain.py']

title = 'Pixels or features: what should a masked autoencoder predict?'
introduction = """
The same small vision transformer is pre-trained without labels two times: it predicts masked *pixels* (MAE), or the
*features* that a small self-supervised ResNet, the teacher, has of the masked parts (Img2Vec). Then its frozen features
are asked how well they tell ten classes apart; beside them those of the same transformer with random weights.
"""
work_dir = 'work_dirs/targets'

_probe = 'tools/probe.py configs/demo/vit-tiny-p8_1xb256-knn_shapes.py'
_mae = 'configs/demo/mae_vit-tiny-p8_1xb128-coslr-8e_shapes.py'

stages = [
    _base_.images,
    dict(
        name='teacher',
        title='Teacher: a small ResNet, by SimCLR, without labels',
        config='configs/demo/simclr_resnet-tiny_1xb128-coslr-8e_shapes.py',
        needs=['images'],
    ),
    dict(name='mae', title='Pre-training: MAE', config=_mae, needs=['images']),
    dict(
        name='img2vec',
        title='Pre-training: Img2Vec',
        config='configs/demo/img2vec_vit-tiny-p8_1xb128-coslr-8e_shapes.py',
        env=dict(IMG2VEC_TEACHER='{teacher}/backbone.pth'),
    ),
    # The teacher's minutes, spent on more epochs of MAE instead.
    dict(
        name='mae-long',
        title='Pre-training: MAE, for the minutes of the teacher too',
        config=_mae,
        options={'train_cfg.max_epochs': 12, 'param_scheduler.1.end': 12},
        needs=['images'],
    ),
    *[
        dict(
            name=f'probe-{name}',
            title=f'Frozen features, {title}',
            command=f'{_probe} --work-dir {{probe-{name}}}',
            env=dict(IMG2VEC_BACKBONE=f'{{{name}}}/backbone.pth'),
        )
        for name, title in (('mae', 'MAE'), ('mae-long', 'MAE for longer'), ('img2vec', 'Img2Vec'))
    ],
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
    ('probe-img2vec', 'probe-mae-long'),
    ('probe-img2vec', 'probe-teacher'),
    *[(f'probe-{name}', 'probe-random') for name in ('mae', 'mae-long', 'img2vec')],
]
