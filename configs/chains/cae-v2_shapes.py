"""The whole way on embedded images by CAE v2: the chain of img2vec_shapes.py with a tiny CLIP as teacher.

Run: python tools/chain.py configs/chains/cae-v2_shapes.py
"""

_base_ = ['img2vec_shapes.py']

title = 'From images to classifier, detector and segmenter, by CAE v2'
introduction = """
A small vision transformer (ViT) is **pre-trained** by CAE v2: half of an image is masked, and it predicts what
a *teacher*, a tiny CLIP, sees in the visible and in the masked parts. Then the same ViT is trained **with labels** for
three tasks, once starting from the pre-trained weights and once from scratch, for the same number of steps on the same
images. What pre-training is worth is the difference.

**The teacher saw captions**: CLIP was trained here on sentences that name what the images show, which the generator of
the images wrote. So this pre-training has had help from labels of a kind. Its minutes count.

The images are *Shapes*, drawn by this project: scenes of ten kinds of objects, in 1200 training and 300 validation
pictures. Everything here was trained on this machine, nothing was downloaded.
"""
work_dir = 'work_dirs/demo-cae-v2'

_changed = dict(
    teacher=dict(
        name='clip',
        title='Teacher: a tiny CLIP, on captions',
        config='configs/demo/clip_vit-tiny-p8_1xb128-coslr-10e_shapes.py',
        needs=['images'],
    ),
    pretrain=dict(
        name='pretrain',
        title='Pre-training: CAE v2, with a teacher that saw captions',
        config='configs/demo/cae-v2_vit-tiny-p8_1xb128-coslr-8e_shapes.py',
        env=dict(IMG2VEC_CLIP='{clip}/clip.pth'),
    ),
)
# Its backbone has LayerScale; the arms from scratch have it too.
_layer_scale = {'model.backbone.layer_scale_init_value': 0.1}


def _with_layer_scale(stage):
    if 'config' in stage:
        return dict(stage, options={**stage.get('options', {}), **_layer_scale})
    if stage['name'].startswith('probe'):
        words = ' '.join(f'{key}={value}' for key, value in _layer_scale.items())
        return dict(stage, command=f'{stage["command"]} --cfg-options {words}')
    return stage


stages = [_changed[stage['name']] if stage['name'] in _changed else _with_layer_scale(stage) for stage in _base_.stages]
