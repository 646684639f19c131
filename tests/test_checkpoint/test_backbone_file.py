"""What is taken from the config of a file, and what is refused: for export and teacher alike."""

import pytest
import torch
from tiny_vit import ARCH, random_vit

from mmimg2vec.checkpoint.backbone_file import described_backbone, read_backbone
from mmimg2vec.errors import UserError
from mmimg2vec.models.teachers.from_checkpoint import teacher_from_checkpoint


def checkpoint(model, key='config'):
    return {'state_dict': {}, 'meta': {key: f'model = {model!r}'}}


def describe(**backbone):
    return described_backbone(checkpoint({'backbone': {'type': 'mmpretrain.VisionTransformer', **backbone}}), 'a file')


@pytest.mark.parametrize('key', ['config', 'cfg'])
def test_arguments_and_preprocessing(key):
    backbone = dict(type='mmimg2vec.MaskedVisionTransformer', arch=ARCH, key_bias=False, init_cfg=dict(type='x.y'))
    preprocessing = dict(mean=[51, 102, 255], std=[51.0, 51.0, 51.0], bgr_to_rgb=True)
    model = dict(backbone=backbone, data_preprocessor=preprocessing)
    found = described_backbone(checkpoint(model, key), 'a file')
    assert (found.kind, found.scope) == ('MaskedVisionTransformer', 'mmimg2vec')
    assert found.arguments == dict(arch=ARCH, key_bias=False)
    assert found.mean == (51.0, 102.0, 255.0)
    assert found.preprocessing == dict(mean=[0.2, 0.4, 1.0], std=[0.2] * 3, channel_order='RGB')


@pytest.mark.parametrize('method', [dict(type='MAEViT', mask_ratio=0.75), dict(type='MoCoV3ViT', norm_eval=True)])
def test_backbones_of_other_methods_are_plain_ones(method):
    found = described_backbone(checkpoint({'backbone': dict(arch='b', **method)}), 'a file')
    assert (found.kind, found.scope, found.arguments) == ('VisionTransformer', 'mmpretrain', dict(arch='b'))


def test_a_file_without_a_config():
    for content in ({}, [], {'meta': {'config': 'not ( python'}}, {'meta': {'config': 'model = 3'}}):
        found = described_backbone(content, 'a file')
        assert found.kind == '' and found.arguments == {} and found.mean is None and found.rgb is None


FOREIGN = {
    'a class in a norm': dict(norm_cfg=dict(type='transformers.pipeline')),
    'a class in a list': dict(layer_cfgs=[dict(act_cfg=dict(type='os.system'))]),
    'a convolution': dict(patch_cfg=dict(conv_type='transformers.pipeline')),
    'a registered convolution': dict(patch_cfg=dict(conv_type='DCN')),
    'a norm without a dot': dict(norm_cfg=dict(type='Runner')),
    'a download': dict(layer_cfgs=dict(act_cfg=dict(init_cfg=dict(checkpoint='x')))),
    'a path': dict(arch='../../etc'),
    'a name to import': dict(interpolate_mode='os.system'),
    'another argument': dict(pretrained='b'),
    'arguments of arguments': dict(kwargs=dict(arch='b')),
}


@pytest.mark.parametrize('name', FOREIGN)
def test_what_a_file_may_not_choose_is_refused_at_every_door(name, tmp_path):
    (key,) = FOREIGN[name]
    with pytest.raises(UserError, match=f'a file holds a backbone VisionTransformer with {key}='):
        describe(**FOREIGN[name])
    state = {f'backbone.{key}': value for key, value in random_vit().state_dict().items()}
    backbone = dict(type='mmpretrain.VisionTransformer', arch=ARCH, img_size=32, patch_size=8)
    content = checkpoint({'backbone': {**backbone, **FOREIGN[name]}})
    torch.save({**content, 'state_dict': state}, tmp_path / 'backbone.pth')
    for door in (read_backbone, teacher_from_checkpoint):
        with pytest.raises(UserError, match='which a file may not choose') as caught:
            door(str(tmp_path / 'backbone.pth'))
        assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('mean', 'std', 'taken'),
    [([1, 2, 3], [4, 5, 6], {'mean', 'std'}), ([1], [4], set()), ([1, 2, 3], None, {'mean'}), (None, None, set())],
)
def test_a_teacher_from_a_file(tmp_path, mean, std, taken):
    backbone = dict(type='mmpretrain.VisionTransformer', arch=ARCH, img_size=32, patch_size=8)
    preprocessing = {key: value for key, value in (('mean', mean), ('std', std)) if value is not None}
    path = str(tmp_path / 'backbone.pth')
    torch.save(checkpoint(dict(backbone=backbone, data_preprocessor=preprocessing)), path)
    found = teacher_from_checkpoint(path)
    assert found.pop('teacher') == {
        **backbone,
        'init_cfg': dict(type='Pretrained', checkpoint=path, prefix='backbone.'),
    }
    assert found == {key: tuple(preprocessing[key]) for key in taken}


@pytest.mark.parametrize('kind', ['transformers.pipeline', 'mmengine.Runner', 'nn.Linear'])
def test_another_class_is_refused(kind):
    with pytest.raises(UserError, match='which is none of mmpretrain or this project'):
        described_backbone(checkpoint({'backbone': dict(type=kind)}), 'a file')
