"""One definition of "filled": what a checkpoint fills, and what is said of one that does not fit."""

import downstream
import pytest
import torch
from mmpretrain.models.backbones import ResNet, VisionTransformer

from mmimg2vec.checkpoint.export import export_backbone, import_backbone
from mmimg2vec.checkpoint.fill import fill
from mmimg2vec.checkpoint.layouts.timm import to_timm
from mmimg2vec.checkpoint.trained import fill_trained
from mmimg2vec.errors import UserError
from mmimg2vec.models import BackboneTargetGenerator, MaskedVisionTransformer
from mmimg2vec.models.backbones.vitdet import ViTDet


@pytest.fixture
def file(tmp_path):
    return downstream.pretrained(tmp_path / 'backbone.pth')


def vit(**kwargs):
    settings = dict(arch=downstream.ARCH, img_size=32, patch_size=8)
    return VisionTransformer(**{**settings, **kwargs})


def report_on(module, path, prefix=None, **kwargs):
    return fill(module, str(path), prefix=prefix, strict=False, where='model.backbone', **kwargs)


def refuse(module, path, prefix='backbone.'):
    with pytest.raises(UserError) as error:
        fill(module, str(path), prefix=prefix, where='model.backbone')
    assert '\n' not in str(error.value)
    return str(error.value)


def test_everything_filled(file):
    module = vit()
    report = report_on(module, file, 'backbone')
    assert set(report.filled) == set(module.state_dict()) and not report.missing
    assert not report.resized and not report.unused
    content = downstream.weights(file)
    assert all(torch.equal(content['backbone.' + k], v) for k, v in module.state_dict().items())
    report.check()


def test_resized_and_unused_are_told(file):
    module = ViTDet(arch=downstream.ARCH, img_size=64, patch_size=16, window_size=2)
    report = fill(module, str(file), prefix='backbone.', allow_missing=module.new_parameters)
    assert sorted(report.resized) == ['patch_embed.projection.weight', 'pos_embed']
    assert report.unused == ('cls_token',)
    tables = [name for name in module.state_dict() if 'rel_pos' in name]
    assert sorted(report.new) == sorted(tables) and tables and not report.missing
    count, text = len(report.filled), str(report)
    assert f'ViTDet: {count} of {count + len(tables)} tensors filled from {file}' in text
    assert '(of which 2 resized: ' in text and 'not used: cls_token' in text and '\n' not in text
    assert f'{len(tables)} tensors start anew, as they should: layers.0.attn.rel_pos_h' in text
    assert f'{len(tables)} of {count + len(tables)} tensors are missing' in refuse(module, file)


@pytest.mark.parametrize(
    ('change', 'difference'),
    [
        (dict(arch={**downstream.ARCH, 'num_layers': 4}), 'depth 2 in the file, 4 in the model'),
        (dict(arch={**downstream.ARCH, 'num_layers': 1}), 'depth 2 in the file, 1 in the model'),
        (dict(arch={**downstream.ARCH, 'embed_dims': 24}), 'width 16 in the file, 24 in the model'),
        (dict(patch_size=4), 'patch_size 8 in the file, 4 in the model'),
        (dict(in_channels=4), 'channels 3 in the file, 4 in the model'),
    ],
)
def test_another_architecture(file, change, difference):
    message = refuse(vit(**change), file)
    assert message.startswith(str(file)) and difference in message
    assert 'give model.backbone the architecture of that checkpoint' in message


def test_layers_of_another_shape(file):
    wider = {**downstream.ARCH, 'feedforward_channels': 64}
    message = refuse(vit(arch=wider), file)
    assert '6 of 30 tensors are missing (layers.0.ffn.layers.0.0.weight, ' in message
    assert 'is (32, 16) in the file and (64, 16) in the model' in message


def test_layer_scale_is_not_left_out(tmp_path):
    """A plain ViT would load CAE v2's weights in silence, and compute something else."""
    file = downstream.pretrained(tmp_path / 'scaled.pth', layer_scale_init_value=0.1)
    message = refuse(vit(), file)
    assert 'the file has LayerScale and the model has none (4 tensors' in message
    assert 'layers.0.attn.gamma1.weight' in message and 'layer_scale_init_value=0.1' in message
    with pytest.raises(UserError, match=r'does not fit VisionTransformer: the file has LayerScale'):
        fill(vit(), str(file), prefix='backbone.')
    scaled = vit(layer_scale_init_value=1e-5)
    report = report_on(scaled, file, 'backbone.')
    report.check()
    assert report.unused == () and set(report.filled) == set(scaled.state_dict())
    fill(scaled, str(file), prefix='backbone.')


def test_another_method_or_network(tmp_path):
    decoder = downstream.pretrained(tmp_path / 'decoder.pth', prefix='decoder_stack.inner_')
    message = refuse(vit(), decoder)
    assert '30 of 30 tensors are missing' in message
    assert 'the file holds another network or another method (decoder_stack. (30))' in message
    resnet = tmp_path / 'resnet.pth'
    state = ResNet(18).state_dict()
    torch.save({'state_dict': {f'backbone.{k}': v for k, v in state.items()}}, resnet)
    assert 'another network' in refuse(vit(), resnet)
    message = refuse(ResNet(18), downstream.pretrained(tmp_path / 'vit.pth'))
    assert 'another network' in message


def maes_own_file(path, decoder=True):
    """A file as MAE's authors leave it: timm's names under ``model``, with the decoder or without."""
    state = dict(to_timm(vit().state_dict()))
    if decoder:
        more = ('mask_token', 'decoder_pos_embed', 'decoder_embed.weight', 'decoder_blocks.0.attn.qkv.weight')
        state |= {name: torch.randn(1, 2, 16) for name in more}
    torch.save({'model': state}, path)
    return path


@pytest.mark.parametrize('decoder', [True, False])
def test_maes_own_file_names_its_cure_and_the_cure_works(tmp_path, decoder):
    """Every door names the conversion; what that writes fills the network, tensor by tensor."""
    pytest.importorskip('timm')
    source = maes_own_file(tmp_path / 'mae.pth', decoder)
    for prefix in ('backbone.', None):
        message = refuse(vit(), source, prefix)
        assert 'of 30 tensors are missing' in message
        assert "its names are timm's, as in the own files of MAE and DINO: convert it with " in message
        assert 'export_backbone.py FILE OUT --from timm --arch base' in message
    import_backbone(source, tmp_path / 'backbone.pth', num_heads=downstream.ARCH['num_heads'])
    module = vit()
    assert not fill(module, str(tmp_path / 'backbone.pth'), prefix='backbone.').missing
    weights = torch.load(source, weights_only=True)['model']
    assert torch.equal(module.layers[1].attn.qkv.weight, weights['blocks.1.attn.qkv.weight'])


def test_files_of_cae_v2s_authors_name_their_cure(tmp_path):
    state = {f'encoder.{name}': value for name, value in to_timm(vit().state_dict()).items()}
    torch.save({'model': state}, tmp_path / 'cae.pth')
    assert 'cae_v2.py FILE OUT --to mmimg2vec --part encoder' in refuse(vit(), tmp_path / 'cae.pth')


def test_another_prefix(file, tmp_path):
    message = refuse(vit(), downstream.pretrained(tmp_path / 'a.pth', prefix='model.encoder.'))
    assert "set prefix='model.encoder.' in init_cfg, or leave it out" in message
    assert "set prefix=''" in refuse(vit(), downstream.pretrained(tmp_path / 'b.pth', prefix=''))
    for number, prefix in enumerate(('', 'module.', 'backbone.', 'model.encoder.')):
        path = downstream.pretrained(tmp_path / f'{number}.pth', prefix=prefix)
        assert fill(vit(), str(path)).prefix == prefix


@pytest.mark.parametrize('prefix', [None, 'backbone.', 'backbone', 'teacher.backbone.'])
def test_dinos_teacher_is_found(file, prefix):
    """However the prefix is spelt, or where it is left out."""
    weights = {name.removeprefix('backbone.'): value for name, value in downstream.weights(file).items()}
    student = {f'module.backbone.{name}': value + 1 for name, value in weights.items()}
    teacher = {f'backbone.{name}': value for name, value in weights.items()}
    torch.save({'student': student, 'teacher': teacher | {'head.mlp.0.weight': torch.zeros(2)}}, file)
    module = vit()
    assert fill(module, str(file), prefix=prefix).prefix == 'teacher.backbone.'
    assert downstream.equal(dict(module.state_dict()), weights)


def test_a_whole_model_has_a_place_for_everything(file):
    weights = downstream.weights(file)
    content = {'state_dict': {name.removeprefix('backbone.'): value for name, value in weights.items()}}
    fill(vit(), content, prefix='', allow_unused=())
    content['state_dict'] |= {'auxiliary_head.w': torch.zeros(1)}
    fill(vit(), content, prefix='', allow_unused=(r'^auxiliary_head\.',))
    with pytest.raises(UserError, match=r'the file does not fit VisionTransformer: 1 tensors .*auxiliary_head\.w'):
        fill(vit(), content, prefix='', allow_unused=(), name='the file')


def test_an_integer_table_may_be_missing_and_a_scale_may_not():
    module = torch.nn.BatchNorm2d(2)
    state = dict(module.state_dict())
    del state['num_batches_tracked']
    assert fill(module, state, prefix='').filled == ('weight', 'bias', 'running_mean', 'running_var')
    del state['running_var']
    with pytest.raises(UserError, match=r'1 of 4 tensors are missing \(running_var\)'):
        fill(module, state, prefix='')


def test_resnets_of_other_depths(tmp_path):
    path = tmp_path / 'resnet.pth'
    torch.save({'state_dict': ResNet(34).state_dict()}, path)
    assert 'more layers than model.backbone' in refuse(ResNet(18), path, prefix=None)
    report = report_on(ResNet(34), path)
    report.check()
    assert not any('num_batches_tracked' in name for name in report.filled)


def test_a_detectors_checkpoint_serves_its_own_backbone(tmp_path):
    heads = {'rpn_head.rpn_conv.weight': torch.zeros(2), 'roi_head.bbox_head.w': torch.zeros(2)}
    path = downstream.pretrained(tmp_path / 'detector.pth', extra=heads)
    report_on(vit(), path, 'backbone.').check()
    assert 'rpn_head. (1)' in refuse(vit(), path, prefix='encoder.')


def test_files_that_cannot_be_used(file, tmp_path):
    with pytest.raises(UserError, match=r'no checkpoint .*nowhere.pth'):
        report_on(vit(), tmp_path / 'nowhere.pth', 'backbone.')
    content = downstream.weights(file)
    torch.save({'epoch': 3}, tmp_path / 'empty.pth')
    with pytest.raises(UserError, match='holds no tensors'):
        report_on(vit(), tmp_path / 'empty.pth', 'backbone.')
    torch.save({'model': content}, tmp_path / 'mae.pth')
    report_on(vit(), tmp_path / 'mae.pth').check()
    content['backbone.pos_embed'][0, 3] = float('nan')
    torch.save({'state_dict': content}, tmp_path / 'diverged.pth')
    with pytest.raises(UserError, match=r'not finite \(backbone.pos_embed\).*diverged'):
        report_on(vit(), tmp_path / 'diverged.pth', 'backbone.')
    # mmpretrain's ViT without a class token cannot resize positions that have one
    with pytest.raises(UserError, match=r'model.backbone cannot take up .*with_cls_token'):
        module = vit(img_size=64, with_cls_token=False, out_type='featmap')
        report_on(module, file, 'backbone.')


def as_teacher(file):
    generator = BackboneTargetGenerator(str(file))
    generator.connect((8, 8), 3, None, None)
    generator.describe((32, 32))
    generator.load()


def as_start(file):
    settings = dict(arch=downstream.ARCH, img_size=32, patch_size=8)
    init_cfg = dict(type='Pretrained', checkpoint=str(file))
    MaskedVisionTransformer(**settings, init_cfg=init_cfg).init_weights()


def as_trained(file):
    fill_trained(torch.nn.ModuleDict(dict(backbone=vit())), str(file))


def as_export(file):
    export_backbone(file, file.parent / 'out.pth', 'mmpretrain')


@pytest.mark.parametrize('door', [as_teacher, as_start, as_trained, as_export])
@pytest.mark.parametrize('value', [float('nan'), float('inf'), None])
def test_values_that_are_not_finite_are_refused_at_every_door(file, door, value):
    backbone = dict(type='mmpretrain.VisionTransformer', arch=downstream.ARCH, img_size=32, patch_size=8)
    content = downstream.weights(file)
    if value is not None:
        content['backbone.layers.1.ln1.weight'][3] = value
    torch.save({'state_dict': content, 'meta': {'config': f'model = {dict(backbone=backbone)!r}'}}, file)
    if value is None:
        door(file)
        return
    with pytest.raises(UserError, match=r'not finite \(.*layers\.1\.ln1\.weight\)'):
        door(file)


def test_register_tokens_are_refused():
    state = {f'backbone.{name}': value for name, value in vit().state_dict().items()}
    with pytest.raises(UserError, match=r'has register tokens \(reg_token\) and the model has no place'):
        fill(vit(), {'state_dict': {**state, 'backbone.reg_token': torch.zeros(1, 4, 16)}})


@pytest.mark.parametrize('kind', [VisionTransformer, ViTDet])
@pytest.mark.parametrize('size', [64, (32, 96), (32, 128)])
def test_positions_have_the_grid_that_their_file_tells(size, kind):
    """4 x 16 patches have as many positions as 8 x 8: the number says nothing of their places."""
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(16.0), indexing='ij')
    state = vit(img_size=(32, 128)).state_dict()
    state['pos_embed'][0, 1:, 0], state['pos_embed'][0, 1:, 1] = rows.flatten(), columns.flatten()
    settings = dict(type='mmimg2vec.MaskedVisionTransformer', arch=downstream.ARCH, img_size=(32, 128), patch_size=8)
    content = {
        'state_dict': {f'backbone.{name}': value for name, value in state.items()},
        'meta': {'config': f'model = dict(backbone={settings!r})'},
    }
    module = (
        vit(img_size=size)
        if kind is VisionTransformer
        else ViTDet(arch=downstream.ARCH, img_size=size, patch_size=8, window_size=2, with_cls_token=False)
    )
    report = fill(module, content, allow_missing=getattr(module, 'new_parameters', ()), name='file')
    height, width = module.patch_resolution
    table = module.pos_embed[0, -height * width :].reshape(height, width, -1)
    assert torch.allclose(table[..., 0].std(dim=1), torch.zeros(height), atol=1e-4)
    assert torch.allclose(table[..., 1].std(dim=0), torch.zeros(width), atol=1e-4)
    assert (table[1:, :, 0] > table[:-1, :, 0]).all() and (table[:, 1:, 1] > table[:, :-1, 1]).all()
    assert ('position embeddings of 4 x 16 patches resized to' in str(report)) == (size != (32, 128))


@pytest.mark.parametrize('prefix', ['module.', '_orig_mod.', 'module._orig_mod.'])
def test_a_trained_model_saved_with_its_wrapper(tmp_path, prefix):
    model, other = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    torch.save({'state_dict': {prefix + key: value for key, value in other.state_dict().items()}}, tmp_path / 'a.pth')
    fill_trained(model, str(tmp_path / 'a.pth'))
    assert torch.equal(model.weight, other.weight)
