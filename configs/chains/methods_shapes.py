"""What does CAE v2 learn from, how much should it hide, and does fusion help MAE? The same student, images and steps.

Pre-trainings of one budget: CAE v2 supervised on visible patches, on masked ones and on all, with half of the patches
masked; on all with a quarter and with three quarters masked; MAE; MFF. The features are compared frozen.
``make experiment ARGS="configs/chains/methods_shapes.py"`` runs it over several seeds; IMG2VEC_EPOCHS=N gives each
pre-training N epochs, two or more (name another --out then).
"""

_base_ = ['../_base_/shapes_chain.py']

title = 'CAE v2, MFF and MAE: what is supervised, how much is masked, what fusion adds'
introduction = """
The same small vision transformer is pre-trained in seven ways, each on the same images with the same crops, batch and
number of steps. *CAE v2* predicts what a tiny CLIP, the teacher, sees in the **visible** patches, in the **masked**
ones or in **all**, with a quarter, a half or three quarters of the patches masked. *MAE* predicts masked pixels, and
*MFF* does so from several blocks of the transformer. Then the frozen features are asked how well they tell ten classes
apart; beside them those of the two transformers (CAE v2's has LayerScale) with random weights.

**CLIP saw captions**: it was trained on sentences that name what the images show, which the generator of the images
wrote. So CAE v2 has had help from labels of a kind, which the other methods have not. CLIP's minutes count.
"""
work_dir = 'work_dirs/methods'

_epochs = int('{{$IMG2VEC_EPOCHS:4}}')
_budget = {'train_cfg.max_epochs': _epochs, 'param_scheduler.1.end': _epochs}
_cae_v2 = dict(
    config='configs/demo/cae-v2_vit-tiny-p8_1xb128-coslr-8e_shapes.py', env=dict(IMG2VEC_CLIP='{clip}/clip.pth')
)
_supervision = 'model.head.supervision'
_mask_ratio = 'train_dataloader.dataset.dataset.pipeline.3.mask_ratio'
_probe = 'tools/probe.py configs/demo/vit-tiny-p8_1xb256-knn_shapes.py'
_layer_scale = '--cfg-options model.backbone.layer_scale_init_value=0.1'

# Name, title, how it is trained, and what its transformer has that the plain one has not.
_methods = [
    ('mae', 'MAE', dict(config='configs/demo/mae_vit-tiny-p8_1xb128-coslr-8e_shapes.py'), ''),
    ('mff', 'MFF', dict(config='configs/demo/mff_vit-tiny-p8_1xb128-coslr-8e_shapes.py'), ''),
    *[
        (
            f'cae-{name}',
            f'CAE v2 on {supervision} patches, {100 * mask_ratio:.0f} % masked',
            dict(_cae_v2, options={_supervision: supervision, _mask_ratio: mask_ratio}),
            _layer_scale,
        )
        for name, supervision, mask_ratio in (
            ('visible', 'visible', 0.5),
            ('masked', 'masked', 0.5),
            ('all', 'all', 0.5),
            ('all-25', 'all', 0.25),
            ('all-75', 'all', 0.75),
        )
    ],
]

stages = [
    _base_.images,
    dict(
        name='clip',
        title='Teacher: a tiny CLIP, on captions',
        config='configs/demo/clip_vit-tiny-p8_1xb128-coslr-10e_shapes.py',
        needs=['images'],
    ),
    *[
        dict(training, name=name, title=title, options={**training.get('options', {}), **_budget}, needs=['images'])
        for name, title, training, _ in _methods
    ],
    *[
        dict(
            name=f'probe-{name}',
            title=title,
            command=f'{_probe} --work-dir {{probe-{name}}} {more}',
            env=dict(IMG2VEC_BACKBONE=f'{{{name}}}/backbone.pth'),
        )
        for name, title, _, more in _methods
    ],
    *[
        dict(
            name=f'probe-{name}',
            title=title,
            command=f'{_probe} --random --seed {{seed}} --work-dir {{probe-{name}}} {more}',
            needs=['images'],
        )
        for name, title, more in (
            ('random', 'Random weights', ''),
            ('random-cae', "Random weights, CAE v2's transformer", _layer_scale),
        )
    ],
]
# Pairs of the table of differences: the first minus the second, seed by seed.
differences = [
    ('probe-mff', 'probe-mae'),
    ('probe-cae-visible', 'probe-cae-masked'),
    ('probe-cae-all', 'probe-cae-visible'),
    ('probe-cae-all', 'probe-cae-masked'),
    ('probe-cae-all-25', 'probe-cae-all'),
    ('probe-cae-all-75', 'probe-cae-all'),
    ('probe-cae-all', 'probe-mae'),
    ('probe-mae', 'probe-random'),
    ('probe-cae-all', 'probe-random-cae'),
]
