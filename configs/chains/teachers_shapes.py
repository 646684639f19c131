"""Does token diversity predict what a teacher is worth? The same student and budget, teachers of different kinds.

Measured over several seeds, with the table and the plot of diversity against results:
``make experiment ARGS="configs/chains/teachers_shapes.py"``; it may be stopped and started again at any time.
"""

_base_ = ['../_base_/shapes_chain.py']

title = 'Does the token diversity of a teacher predict what its student learns?'
introduction = """
The same small vision transformer is pre-trained by Img2Vec, for the same steps, on the features of teachers that differ
in kind and in *token diversity*: how unlike each other the tokens of an image are. Each student is then asked, frozen,
what it knows: of classes (kNN, linear) and of places (segmentation with a small head).
"""
work_dir = 'work_dirs/teachers'
epochs = 4

_student = 'configs/demo/img2vec_vit-tiny-p8_1xb128-coslr-8e_shapes.py'
_probe = 'tools/probe.py configs/demo/vit-tiny-p8_1xb256-knn_shapes.py'
_segment = 'configs/demo/fcn_vit-tiny-p8_1xb16-frozen-coslr-3e_shapes-96x96.py'
_budget = {'train_cfg.max_epochs': epochs, 'param_scheduler.1.end': epochs}
_generator = 'model.target_generator'
_simclr = dict(IMG2VEC_TEACHER='{simclr}/backbone.pth')
# Another backbone than the ResNet of the config: nothing of it is dilated.
_other = {f'{_generator}.output_stride': None}

# Teacher -> title, environment and options of its student.
_teachers = dict(
    simclr=('SimCLR ResNet', _simclr, {}),
    random=('random ResNet', {}, {f'{_generator}.random_weights': '{seed}', f'{_generator}.teacher.init_cfg': None}),
    early=(
        'SimCLR ResNet, the stage before',
        _simclr,
        {
            **_other,
            f'{_generator}.teacher.num_stages': 2,
            f'{_generator}.teacher.strides': [1, 2],
            f'{_generator}.teacher.dilations': [1, 1],
            f'{_generator}.teacher.out_indices': [1],
        },
    ),
    upsampled=('SimCLR ResNet, not dilated but upsampled', _simclr, {**_other, f'{_generator}.resample': 'bilinear'}),
    smoothed=('SimCLR ResNet, smoothed over 5 x 5 tokens', _simclr, {f'{_generator}.smooth': 5}),
    mae=('MAE ViT', {}, {**_other, f'{_generator}.teacher': '{mae}/backbone.pth'}),
    student=(
        'Img2Vec ViT, the first student',
        {},
        {**_other, f'{_generator}.teacher': '{student-simclr}/backbone.pth'},
    ),
)

stages = [
    _base_.images,
    dict(
        name='simclr',
        title='Teacher: a small ResNet, by SimCLR',
        config='configs/demo/simclr_resnet-tiny_1xb128-coslr-8e_shapes.py',
        needs=['images'],
    ),
    dict(
        name='mae',
        title='Teacher: a small ViT, by MAE',
        config='configs/demo/mae_vit-tiny-p8_1xb128-coslr-8e_shapes.py',
        needs=['images'],
    ),
    *[
        dict(
            name=f'student-{name}',
            title=f'Img2Vec, teacher: {title}',
            config=_student,
            env=env_,
            options={**_budget, **options},
            needs=['images'],
        )
        for name, (title, env_, options) in _teachers.items()
    ],
    *[
        dict(
            name=f'probe-{name}',
            title=f'Frozen features, teacher: {title}',
            command=f'{_probe} --work-dir {{probe-{name}}}',
            env=dict(IMG2VEC_BACKBONE=f'{{student-{name}}}/backbone.pth'),
        )
        for name, (title, _, _) in _teachers.items()
    ],
    *[
        dict(
            name=f'segment-{name}',
            title=f'Segmentation on frozen tokens, teacher: {title}',
            config=_segment,
            env=dict(IMG2VEC_BACKBONE=f'{{student-{name}}}/backbone.pth'),
        )
        for name, (title, _, _) in _teachers.items()
    ],
    dict(
        name='diversity',
        title='Token diversity of the teachers',
        # The configs that the students' runs left say which features each of them predicted.
        command=f'tools/analysis_tools/token_diversity.py {_base_.shapes}/imagenet/val --img-size 64 --patch-size 8 '
        '--batch-size 64 --device cpu --out {diversity} --teachers '
        + ' '.join(f'{name}={{student-{name}}}/img2vec_vit-tiny-p8_1xb128-coslr-8e_shapes.py' for name in _teachers),
    ),
    dict(
        name='probe-untrained',
        title='Frozen features, no pre-training',
        command=f'{_probe} --random --seed {{seed}} --work-dir {{probe-untrained}}',
        needs=['images'],
        baseline_of=[f'probe-{name}' for name in _teachers],
    ),
    dict(
        name='segment-untrained',
        title='Segmentation on frozen tokens, no pre-training',
        config=_segment,
        options={'model.backbone.init_cfg': None},
        needs=['images'],
        baseline_of=[f'segment-{name}' for name in _teachers],
    ),
]
# After all seeds: the table and the plot.
summary = 'tools/analysis_tools/diversity_predicts.py {out}'
