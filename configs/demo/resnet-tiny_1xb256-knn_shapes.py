"""kNN and linear accuracy on Shapes of the demo's teacher, frozen.

Environment variable IMG2VEC_BACKBONE names another checkpoint of the same ResNet. Measured figures: docs/results.md.
Run: IMG2VEC_BACKBONE=work_dirs/demo/teacher/backbone.pth python tools/probe.py
configs/demo/resnet-tiny_1xb256-knn_shapes.py
"""

_base_ = ['vit-tiny-p8_1xb256-knn_shapes.py']

work_dir = 'work_dirs/demo/probe-teacher'
model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=18,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
        base_channels=16,
        stem_channels=16,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/demo/teacher/backbone.pth}}',
            prefix='backbone.',
        ),
    )
)
knn = dict(pools=('mean',))  # there is no class token
