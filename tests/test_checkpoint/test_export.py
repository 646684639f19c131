import dataclasses
import json

import pytest
import torch
from mmpretrain.models.backbones import ResNet, VisionTransformer
from tiny_vit import ARCH, random_vit

from mmimg2vec.checkpoint.backbone_file import backbone_config
from mmimg2vec.checkpoint.export import export_backbone, import_backbone, load_exported
from mmimg2vec.checkpoint.files import check_target
from mmimg2vec.checkpoint.layouts.table import LAYOUTS
from mmimg2vec.checkpoint.layouts.timm import TIMM
from mmimg2vec.errors import UserError

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
PREPROCESSING = dict(mean=[255.0, 51.0, 0.0], std=[51.0, 51.0, 51.0], to_rgb=True)


def features(model, images=IMAGES):
    with torch.no_grad():
        return model(images)[-1]


def assert_close(found, expected):
    scale = expected.abs().max()
    assert scale > 0.1
    assert (found - expected).abs().max() <= 1e-5 * scale


@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
def test_timm_computes_the_same(save, tmp_path, suffix):
    model = random_vit()
    target = tmp_path / f'vit.{suffix}'
    source = save(model, data_preprocessor=PREPROCESSING)
    metadata = export_backbone(source, target, 'timm')
    with torch.no_grad():
        assert_close(load_exported(target).forward_features(IMAGES), features(model))
    assert json.loads((tmp_path / f'vit.{suffix}.json').read_text())['kwargs'] == metadata['kwargs']
    assert metadata['mean'] == [1.0, 0.2, 0.0]
    assert metadata['std'] == [0.2, 0.2, 0.2]
    assert metadata['channel_order'] == 'RGB'
    sizes = [tuple(parity['img_size']) for parity in metadata['parity']]
    assert sizes == [(32, 32), (48, 40)]


@pytest.mark.parametrize(
    'options',
    [
        dict(layer_scale_init_value=0.1),
        dict(qkv_bias=False),
        dict(pre_norm=True),
        dict(with_cls_token=False),
        dict(final_norm=False),
        dict(patch_size=(8, 4), img_size=(32, 48)),
        dict(in_channels=5),
        dict(out_type='avg_featmap', final_norm=False),
        dict(out_type='avg_featmap', final_norm=False, with_cls_token=False),
    ],
    ids=str,
)
def test_variants(save, tmp_path, options):
    model = random_vit(**options)
    source = save(model, config=dict(arch=ARCH, **{'img_size': 32, 'patch_size': 8, **options}))
    for layout, name in (('timm', 't.pth'), ('mmpretrain', 'p.pth'), ('safetensors', 's.safetensors')):
        metadata = export_backbone(source, tmp_path / name, layout)
        assert len(metadata['parity']) == 2


@pytest.mark.parametrize('layout, name', [('mmpretrain', 'p.pth'), ('safetensors', 's.safetensors')])
def test_plain_weights_have_no_prefix(save, tmp_path, layout, name):
    model = random_vit()
    metadata = export_backbone(save(model), tmp_path / name, layout)
    if layout == 'mmpretrain':
        state = torch.load(tmp_path / name, weights_only=True)
    else:
        state = pytest.importorskip('safetensors.torch').load_file(tmp_path / name)
    assert state.keys() == model.state_dict().keys()
    rebuilt = VisionTransformer(**metadata['kwargs'])
    rebuilt.load_state_dict(state)
    rebuilt.eval()
    assert torch.equal(features(rebuilt), features(model))


def test_of_a_whole_training_checkpoint(tmp_path):
    model = random_vit()
    state = {f'backbone.{key}': value for key, value in model.state_dict().items()}
    state['head.fc.weight'] = torch.zeros(2, 24)
    text = f'model = dict(backbone=dict(type="mmimg2vec.MaskedVisionTransformer", arch={ARCH!r}, img_size=32))'
    torch.save({'state_dict': state, 'meta': {'cfg': text}}, tmp_path / 'epoch_1.pth')
    export_backbone(tmp_path / 'epoch_1.pth', tmp_path / 't.pth', 'timm')
    with torch.no_grad():
        assert_close(load_exported(tmp_path / 't.pth').forward_features(IMAGES), features(model))


def test_another_image_size(save, tmp_path):
    model = random_vit()
    export_backbone(save(model), tmp_path / 't.pth', 'timm', img_size=(48, 64))
    images = torch.randn(1, 3, 48, 64)
    with torch.no_grad():
        assert_close(load_exported(tmp_path / 't.pth').forward_features(images), features(model, images))
    with pytest.raises(UserError, match='does not divide into patches of 8 x 8'):
        export_backbone(save(model), tmp_path / 't2.pth', 'timm', img_size=(50, 64))


def test_timm_names_and_shapes_are_those_of_the_named_model(tmp_path, save):
    timm = pytest.importorskip('timm')
    model = VisionTransformer(arch='deit-tiny', img_size=224, patch_size=16)
    source = save(model, config=dict(arch='deit-tiny', img_size=224, patch_size=16))
    metadata = export_backbone(source, tmp_path / 't.safetensors', 'timm')
    assert metadata['timm_model'] == 'vit_tiny_patch16_224'
    named = timm.create_model(metadata['timm_model'], num_classes=0, checkpoint_path=str(tmp_path / 't.safetensors'))
    named.eval()
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        expected = load_exported(tmp_path / 't.safetensors').forward_features(images)
        assert torch.equal(named.forward_features(images), expected)


def test_there_and_back_is_bit_identical(save, tmp_path):
    model = random_vit(layer_scale_init_value=0.1)
    source = save(model, data_preprocessor=PREPROCESSING)
    first = export_backbone(source, tmp_path / 't.safetensors', 'timm')
    import_backbone(tmp_path / 't.safetensors', tmp_path / 'back.pth')
    back = torch.load(tmp_path / 'back.pth', weights_only=True)['state_dict']
    ours = torch.load(source, weights_only=True)['state_dict']
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[key], ours[key]) for key in ours)
    second = export_backbone(tmp_path / 'back.pth', tmp_path / 't2.safetensors', 'timm')
    assert {**first, 'source': ''} == {**second, 'source': ''}


def test_import_needs_the_number_of_heads_and_leaves_the_classifier(tmp_path):
    timm = pytest.importorskip('timm.models.vision_transformer')
    model = timm.VisionTransformer(img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=2, num_classes=4)
    torch.save(model.state_dict(), tmp_path / 't.pth')
    with pytest.raises(UserError, match='--num-heads'):
        import_backbone(tmp_path / 't.pth', tmp_path / 'b.pth')
    import_backbone(tmp_path / 't.pth', tmp_path / 'b.pth', num_heads=2)
    state = torch.load(tmp_path / 'b.pth', weights_only=True)['state_dict']
    ours = random_vit(arch={**ARCH, 'feedforward_channels': 96})
    assert state.keys() == {f'backbone.{key}' for key in ours.state_dict()}


def test_heads_come_from_an_option_where_there_is_no_config(save, tmp_path):
    source = save(random_vit(), config=None)
    with pytest.raises(UserError, match=r'24 wide, 3 blocks.*--num-heads N'):
        export_backbone(source, tmp_path / 'p.pth', 'mmpretrain')
    metadata = export_backbone(source, tmp_path / 'p.pth', 'mmpretrain', num_heads=2)
    assert metadata['kwargs']['arch'] == ARCH
    with pytest.raises(UserError, match='the architecture named 768 wide with 12'):
        export_backbone(source, tmp_path / 'p2.pth', 'mmpretrain', arch='base')


def with_other_weights(monkeypatch, change):
    """Let timm's layout write other weights than it should."""

    def wrong(state):
        state = {name: value.clone() for name, value in TIMM.to_theirs(state).items()}
        change(state)
        return state

    monkeypatch.setitem(LAYOUTS, 'timm', dataclasses.replace(TIMM, to_theirs=wrong))


def swap(state):
    first, second = 'blocks.0.norm1.weight', 'blocks.1.norm1.weight'
    state[first], state[second] = state[second], state[first]


def scale(state):
    """Features differ by 1e-4 of the largest, ten times what another order of the sums does."""
    state['norm.weight'] *= 1.0001
    state['norm.bias'] *= 1.0001


@pytest.mark.parametrize('change', [swap, scale])
def test_a_difference_is_an_error_and_leaves_no_file(save, tmp_path, monkeypatch, change):
    source = save(random_vit())
    before = sorted(tmp_path.iterdir())
    with_other_weights(monkeypatch, change)
    with pytest.raises(UserError, match='nothing is written: the converted model'):
        export_backbone(source, tmp_path / 't.pth', 'timm')
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ('settings', 'order'),
    [
        (dict(to_rgb=True), 'RGB'),
        (dict(bgr_to_rgb=True), 'RGB'),
        (dict(to_rgb=False), None),
        (dict(bgr_to_rgb=False), None),
    ],
)
def test_channel_order(save, tmp_path, settings, order):
    source = save(random_vit(), data_preprocessor=dict(mean=[1, 2, 3], std=[4, 5, 6], **settings))
    assert export_backbone(source, tmp_path / 'p.pth', 'mmpretrain')['channel_order'] == order


def test_weights_that_are_not_finite(save, tmp_path):
    model = random_vit()
    model.cls_token.data[0, 0, 3] = float('inf')
    with pytest.raises(UserError, match=r'not finite \(cls_token\)'):
        export_backbone(save(model), tmp_path / 't.pth', 'timm')


def test_not_a_plain_vision_transformer(save, tmp_path):
    network = ResNet(depth=18, stem_channels=8, base_channels=8)
    cases = {
        'holds a ResNet': save(network, config=dict(depth=18), kind='mmpretrain.ResNet'),
        'is not a vision transformer': save(network, name='bare.pth', config=None),
        'holds a ViTDet': save(random_vit(), name='det.pth', kind='mmimg2vec.ViTDet'),
        'with patch_cfg is not': save(
            random_vit(patch_cfg=dict(stride=4)),
            name='stride.pth',
            config=dict(arch=ARCH, img_size=32, patch_size=8, patch_cfg=dict(stride=4)),
        ),
    }
    torch.save({'state_dict': {'head.fc.weight': torch.zeros(1)}}, tmp_path / 'head.pth')
    cases['has no backbone'] = tmp_path / 'head.pth'
    cases['no checkpoint'] = tmp_path / 'missing.pth'
    for message, source in cases.items():
        with pytest.raises(UserError, match=message):
            export_backbone(source, tmp_path / 'out.pth', 'mmpretrain')
    assert not (tmp_path / 'out.pth').exists()


def test_a_further_tensor_is_refused(save, tmp_path):
    model = random_vit()
    model.layers[0].register_buffer('table', torch.zeros(3))
    for layout in ('timm', 'mmpretrain'):
        with pytest.raises(UserError, match=r'layers\.0\.table'):
            export_backbone(save(model), tmp_path / 'out.pth', layout)


def test_what_timm_lacks(save, tmp_path):
    config = dict(arch=ARCH, img_size=32, patch_size=8)
    norm_cfg = dict(type='LN', eps=1e-3)
    source = save(random_vit(norm_cfg=norm_cfg), config=dict(**config, norm_cfg=norm_cfg))
    with pytest.raises(UserError, match='eps'):
        export_backbone(source, tmp_path / 't.pth', 'timm')
    export_backbone(source, tmp_path / 'p.pth', 'mmpretrain')
    source = save(random_vit(out_type='avg_featmap'), config=dict(**config, out_type='avg_featmap'))
    with pytest.raises(UserError, match='final_norm=False'):
        export_backbone(source, tmp_path / 't.pth', 'timm')
    export_backbone(source, tmp_path / 'p.pth', 'mmpretrain')


def test_missing_timm_is_one_line(save, tmp_path, monkeypatch):
    import sys

    for name in [name for name in sys.modules if name.split('.')[0] == 'timm']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(UserError, match='run: pip install timm'):
        export_backbone(save(random_vit()), tmp_path / 't.pth', 'timm')


def test_target_names(save, tmp_path):
    source = save(random_vit())
    for target, layout in (('x.bin', 'timm'), ('x.safetensors', 'mmpretrain'), ('x.pth', 'safetensors')):
        with pytest.raises(UserError, match='NAME'):
            export_backbone(source, tmp_path / target, layout)
    with pytest.raises(UserError, match='is the file to be exported'):
        export_backbone(source, source, 'mmpretrain')


def test_an_exported_file_is_loaded_by_what_lies_beside_it(save, tmp_path):
    model = random_vit()
    export_backbone(save(model), tmp_path / 'p.pth', 'mmpretrain')
    assert torch.equal(features(load_exported(tmp_path / 'p.pth')), features(model))
    (tmp_path / 'p.pth.json').write_text('{"layout": "clip", "kwargs": {}}')
    with pytest.raises(
        UserError,
        match=r"the layout 'clip' has no network .* choose one of mmpretrain, safetensors, timm, transformers",
    ):
        load_exported(tmp_path / 'p.pth')
    (tmp_path / 'p.pth.json').unlink()
    with pytest.raises(UserError, match='keep it beside the weights'):
        load_exported(tmp_path / 'p.pth')


def test_backbone_config_builds_the_backbone(save):
    from mmpretrain.registry import MODELS

    source = save(random_vit())
    built = MODELS.build(backbone_config(source, out_indices=(0, 2)))
    built.init_weights()
    for key, value in random_vit().state_dict().items():
        assert torch.equal(built.state_dict()[key], value)
    assert [tuple(output.shape) for output in built(IMAGES)] == [(2, 24, 4, 4)] * 2


@pytest.mark.parametrize(
    ('layout', 'suffix', 'fits'),
    [
        ('timm', '.pth', True),
        ('timm', '.safetensors', True),
        ('mmpretrain', '.pth', True),
        ('mmpretrain', '.safetensors', False),
        ('safetensors', '.pth', False),
        ('safetensors', '.safetensors', True),
        ('safetensors', '', False),
    ],
)
def test_suffixes_of_the_layouts(tmp_path, layout, suffix, fits):
    target = tmp_path / f'vit{suffix}'
    if fits:
        check_target(target, LAYOUTS[layout].network.suffixes, layout)
    else:
        with pytest.raises(UserError, match=rf'vit{suffix}: name the file .* NAME\.\w+ \({layout}\)'):
            check_target(target, LAYOUTS[layout].network.suffixes, layout)
