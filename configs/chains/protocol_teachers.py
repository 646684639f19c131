"""Which measure of a teacher can be believed? 25 teachers of nine lineages, the same student, two data sets.

A lineage is what stands before the first hyphen of a teacher's name: a way of training, a checkpoint. At most four of
its members differ in stage, grid or smoothing. The seven teachers of teachers_shapes.py, on which the measures were
looked at first, are not among them. Needs ``pip install "mmimg2vec[teachers]"``. Three seeds each:

    make experiment ARGS="configs/chains/protocol_teachers.py --out work_dirs/protocol-cutouts"
    IMG2VEC_DATA=shapes make experiment ARGS="configs/chains/protocol_teachers.py --out work_dirs/protocol-shapes"
    python tools/analysis_tools/diversity_predicts.py work_dirs/protocol-cutouts work_dirs/protocol-shapes

Stopped at any time it goes on where it was; the last command sums up what is there.
"""

_base_ = ['../_base_/shapes_chain.py']

data = '{{$IMG2VEC_DATA:cutouts}}'
title = 'Which measure of a teacher can be believed?'
introduction = """
The same small vision transformer is pre-trained by Img2Vec, for the same steps, on the features of many teachers:
released networks at several stages, networks trained here, and random ones. Each student is then asked, frozen, what it
knows: of classes (kNN, linear) and of places (segmentation with a small head). What measures of the teachers say of the
students is set beside it.

**The released teachers were trained on ImageNet with labels**, and one lineage was trained here with the labels of
these images.
"""
work_dir = 'work_dirs/protocol'
shapes = f'data/{data}'
env = dict(IMG2VEC_SHAPES=shapes)
epochs = 4

_cutouts = data == 'cutouts'
_size, _patch = (128, 16) if _cutouts else (64, 8)
_vit = {'model.backbone.img_size': _size, 'model.backbone.patch_size': _patch}
_crops = 'train_dataloader.dataset.dataset.pipeline'
_pretraining = {
    **_vit,
    'train_cfg.max_epochs': epochs,
    'param_scheduler.1.end': epochs,
    f'{_crops}.1.scale': _size,
    f'{_crops}.3.patch_size': _patch,
}
_names = ['bird', 'fish', 'flower', 'fruit', 'house', 'insect', 'mammal', 'thing', 'vehicle']
_colors = [[70, 70, 70], [0, 130, 200], [70, 240, 240], [240, 50, 230], [230, 25, 75], [170, 90, 40], [145, 30, 180],
           [245, 130, 48], [255, 225, 25], [60, 180, 75]]  # fmt: skip
_loaders = ('train_dataloader.dataset.dataset', 'val_dataloader.dataset', 'test_dataloader.dataset')
_segmentation = {
    **_vit,
    'model.backbone.img_size': 12 * _patch,
    **(
        {
            'model.data_preprocessor.size': (192, 192),
            'model.decode_head.num_classes': 10,
            'model.decode_head.loss_decode.class_weight': [0.15, *[1.0] * 9],
            f'{_crops}.2.scale': (256, 256),
            f'{_crops}.3.crop_size': (192, 192),
            **{f'{place}.metainfo.classes': ['ground', *_names] for place in _loaders},
            **{f'{place}.metainfo.palette': _colors for place in _loaders},
        }
        if _cutouts
        else {}
    ),
}
_supervised = {**_vit, f'{_crops}.1.scale': _size, 'model.backbone.init_cfg': None}
if _cutouts:
    _supervised |= {'model.data_preprocessor.num_classes': 9, 'model.head.num_classes': 9}

_generator = 'model.target_generator'
_released = ('efficientnet_lite0', 'efficientnet_lite1', 'efficientnet_lite2', 'mobilenetv2_100')
_short = dict(zip(_released, ('lite0', 'lite1', 'lite2', 'mobilenet'), strict=True))
_random = {f'{_generator}.random_weights': '{seed}'}
_smooth = {f'{_generator}.smooth': 3}
# Name -> what the teacher is, and further options of the target generator.
_teachers = {
    **{_short[name]: (name, {}) for name in _released},
    **{f'{_short[name]}-s3': (f'{name}#3', {}) for name in _released},
    **{f'{_short[name]}-s2': (f'{name}#2', {}) for name in _released},
    **{f'{_short[name]}-smooth': (name, _smooth) for name in _released},
    'mff': ('{mff}/backbone.pth', {}),
    'mff-smooth': ('{mff}/backbone.pth', _smooth),
    'supervised': ('{supervised}/epoch_5.pth', {}),
    'supervised-smooth': ('{supervised}/epoch_5.pth', _smooth),
    'pupil': ('{student-lite0}/backbone.pth', {}),
    'pupil-smooth': ('{student-lite0}/backbone.pth', _smooth),
    'randomlite': ('efficientnet_lite0', _random),
    'randomlite-s3': ('efficientnet_lite0#3', _random),
    'randomvit': ('{mff}/backbone.pth', _random),
}
_probe = (
    'tools/probe.py configs/demo/vit-tiny-p8_1xb256-knn_shapes.py --work-dir {{probe-{name}}} {more} '
    f'--cfg-options model.backbone.img_size={_size} model.backbone.patch_size={_patch}'
)
_segment = 'configs/demo/fcn_vit-tiny-p8_1xb16-frozen-coslr-3e_shapes-96x96.py'
_student = 'configs/demo/img2vec_vit-tiny-p8_1xb128-coslr-8e_shapes.py'
_stamps = '--stamps {{$IMG2VEC_STAMPS:/usr/share/tuxpaint/stamps}} ' if _cutouts else ''

stages = [
    dict(
        name='images',
        title='Making the images',
        command=f'tools/dataset_converters/{data}.py {_stamps}--out {shapes}',
        makes=[shapes],
    ),
    dict(
        name='mff',
        title='Teacher: a small ViT, by MFF',
        config='configs/demo/mff_vit-tiny-p8_1xb128-coslr-8e_shapes.py',
        options={**_pretraining, 'train_cfg.max_epochs': 8, 'param_scheduler.1.end': 8},
        needs=['images'],
    ),
    dict(
        name='supervised',
        title='Teacher: a small ViT, with labels',
        config='configs/demo/vit-tiny-p8_1xb64-coslr-5e_shapes.py',
        options=_supervised,
        needs=['images'],
    ),
    *[
        dict(
            name=f'student-{name}',
            title=f'Img2Vec, teacher: {name}',
            config=_student,
            options={
                **_pretraining,
                f'{_generator}.teacher': teacher,
                f'{_generator}.output_stride': None,
                f'{_generator}.resample': 'bilinear',
                f'{_generator}.input_size': 128,
                **options,
            },
            needs=['images'],
        )
        for name, (teacher, options) in _teachers.items()
    ],
    *[
        dict(
            name=f'probe-{name}',
            title=f'Frozen features, teacher: {name}',
            command=_probe.format(name=name, more=''),
            env=dict(IMG2VEC_BACKBONE=f'{{student-{name}}}/backbone.pth'),
        )
        for name in _teachers
    ],
    *[
        dict(
            name=f'segment-{name}',
            title=f'Segmentation on frozen tokens, teacher: {name}',
            config=_segment,
            options=_segmentation,
            env=dict(IMG2VEC_BACKBONE=f'{{student-{name}}}/backbone.pth'),
        )
        for name in _teachers
    ],
    dict(
        name='diversity',
        title='Measures of the teachers',
        # The configs that the students' runs left say which features each of them predicted.
        command=f'tools/analysis_tools/token_diversity.py {shapes}/imagenet/val --img-size {_size} '
        f'--patch-size {_patch} --batch-size 64 --max-images 500 --device cpu --pictures 0 --labels '
        '--out {diversity} --teachers '
        + ' '.join(f'{name}={{student-{name}}}/img2vec_vit-tiny-p8_1xb128-coslr-8e_shapes.py' for name in _teachers),
    ),
    dict(
        name='probe-untrained',
        title='Frozen features, no pre-training',
        command=_probe.format(name='untrained', more='--random --seed {seed}'),
        needs=['images'],
        baseline_of=[f'probe-{name}' for name in _teachers],
    ),
    dict(
        name='segment-untrained',
        title='Segmentation on frozen tokens, no pre-training',
        config=_segment,
        options={**_segmentation, 'model.backbone.init_cfg': None},
        needs=['images'],
        baseline_of=[f'segment-{name}' for name in _teachers],
    ),
]
# After all seeds: the tables.
summary = 'tools/analysis_tools/diversity_predicts.py {out}'
