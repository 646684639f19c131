import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmpretrain.models.backbones import VisionTransformer

from mmimg2vec import UserError
from mmimg2vec.checkpoint.backbone_file import backbone_config, read_backbone
from mmimg2vec.checkpoint.convert import convert_file
from mmimg2vec.checkpoint.layouts.cae_v2 import convert_checkpoint, to_authors, to_mmimg2vec

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / 'tests' / 'data' / 'golden').glob('*.npz'))


def released(file):
    """A checkpoint as the authors' code writes it: the optimizer's state beside the model."""
    with np.load(file) as content:
        state = {k[6:]: torch.from_numpy(content[k]) for k in content if k.startswith('state/')}
    return {'model': state, 'optimizer': {'state': {0: {'step': 3}}}, 'epoch': 299}


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def theirs(request):
    return released(request.param)


def assert_identical(ours, theirs):
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype and torch.equal(ours[name], value), name


class TestRoundTrip:
    def test_whole_model(self, theirs, tmp_path):
        torch.save(theirs, tmp_path / 'a.pth')
        for layout, source, target in (('mmimg2vec', 'a', 'b'), ('authors', 'b', 'c')):
            convert_file(
                tmp_path / f'{source}.pth',
                tmp_path / f'{target}.pth',
                lambda checkpoint, layout=layout: convert_checkpoint(checkpoint, layout, num_heads=4),
            )
        back = torch.load(tmp_path / 'c.pth', weights_only=True)
        assert_identical(back['model'], theirs['model'])
        assert 'regresser.norm.weight' in back['model'] and 'rd_pos_embed' in back['model']
        assert {**back, 'model': 0} == {**theirs, 'model': 0}

    def test_bare_weights(self, theirs):
        bare = theirs['model']
        ours = convert_checkpoint(bare, 'mmimg2vec', num_heads=4)
        assert_identical(convert_checkpoint(ours, 'authors'), bare)

    def test_encoder_alone(self, theirs):
        ours = convert_checkpoint(theirs, 'mmimg2vec', 'encoder', num_heads=4)
        assert all(name.startswith('backbone.') for name in ours['state_dict'])
        back = convert_checkpoint(ours, 'authors', 'encoder')['model']
        encoder = {k: v for k, v in theirs['model'].items() if k.startswith('encoder.')}
        assert_identical(back, encoder)
        assert 'encoder.pos_embed' in back

    def test_half_precision(self, theirs):
        state = {name: value.half() for name, value in theirs['model'].items()}
        assert_identical(to_authors(*to_mmimg2vec(state)), to_authors(*to_mmimg2vec(state)))
        ours = convert_checkpoint(state, 'mmimg2vec', num_heads=4)
        assert_identical(convert_checkpoint(ours, 'authors'), state)

    def test_ours_first(self, theirs):
        """A model that was trained here has no unused keys of theirs: they are made."""
        ours, _ = to_mmimg2vec(theirs['model'])
        there = convert_checkpoint({'state_dict': ours, 'meta': {}}, 'authors')['model']
        assert set(there) == set(theirs['model'])
        torch.testing.assert_close(there['rd_pos_embed'], theirs['model']['rd_pos_embed'])
        again, unused = to_mmimg2vec(there)
        assert {k: v.shape for k, v in again.items()} == {k: v.shape for k, v in ours.items()}
        assert all(torch.equal(again[name], value) for name, value in ours.items())
        assert len(unused) == 3


def with_strangers(state):
    """Names that nobody knows, in the middle too, of several types, and one that is no tensor."""
    names = list(state)
    extra = {
        'encoder.strange': torch.tensor([float('nan'), -0.0]),
        'lm_head.weight': torch.ones(2, 3, dtype=torch.bfloat16),
        'counter': torch.tensor(3),
    }
    mixed = {name: state[name] for name in names[:3]}
    mixed['encoder.strange'] = extra['encoder.strange']
    return {**mixed, **state, **extra, 'version': 2}


def bits(value):
    return value.contiguous().view(-1).view(torch.uint8) if value.ndim else value


def assert_same(found, wanted):
    """Equal in order, types and every bit."""
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        if isinstance(value, dict):
            assert_same(found[name], value)
        elif isinstance(value, torch.Tensor):
            assert found[name].dtype == value.dtype and torch.equal(bits(found[name]), bits(value))
        else:
            assert found[name] == value


class TestWhatNobodyKnows:
    """A round trip carries it along, in both directions, and says so."""

    @staticmethod
    def there_and_back(checkpoint, folder, layouts, part='model'):
        torch.save(checkpoint, folder / '0.pth')
        for number, layout in enumerate(layouts):
            convert_file(
                folder / f'{number}.pth',
                folder / f'{number + 1}.pth',
                lambda c, layout=layout: convert_checkpoint(c, layout, part, num_heads=4),
            )
        return torch.load(folder / f'{len(layouts)}.pth', weights_only=True)

    @pytest.mark.parametrize('wrapped', [True, False])
    def test_of_theirs(self, theirs, wrapped, tmp_path):
        state = with_strangers(theirs['model'])
        # The weights neither first nor last.
        wanted = {
            'args': {'lr': 0.1},
            'model': state,
            'optimizer': theirs['optimizer'],
            'epoch': 299,
        }
        wanted = wanted if wrapped else state
        assert_same(self.there_and_back(wanted, tmp_path, ('mmimg2vec', 'authors')), wanted)
        ours = torch.load(tmp_path / '1.pth', weights_only=True)
        assert not any('strange' in name for name in ours['state_dict'])

    @pytest.mark.parametrize('wrapped', [True, False])
    def test_of_ours(self, theirs, wrapped, tmp_path):
        state = with_strangers(to_mmimg2vec(theirs['model'])[0])
        # An encoder with a bias of the keys, for which the authors have no place.
        state['backbone.layers.0.attn.qkv.bias'] = torch.randn_like(state['backbone.layers.0.attn.qkv.bias'])
        beside = {'optimizer': theirs['optimizer'], 'message_hub': {'log': [1]}}
        wanted = {'state_dict': state, 'meta': {'epoch': 3}, **beside} if wrapped else state
        assert_same(self.there_and_back(wanted, tmp_path, ('authors', 'mmimg2vec')), wanted)
        there = torch.load(tmp_path / '1.pth', weights_only=True)
        assert list(there) == ['model', 'carried']
        assert set(there['model']) == set(theirs['model'])

    def test_of_encoders(self, theirs, tmp_path):
        state = with_strangers(theirs['model'])
        encoder = {name: x for name, x in state.items() if name.startswith('encoder.')}
        alone = {'model': encoder, 'epoch': 299}
        layouts = ('mmimg2vec', 'authors')
        assert_same(self.there_and_back(alone, tmp_path, layouts, 'encoder'), alone)
        # Cut out of a whole model, without the optimizer of that.
        whole = {'model': state, 'epoch': 299}
        found = self.there_and_back(whole, tmp_path, layouts, 'encoder')
        assert_same(found, {'model': encoder})
        ours, _ = to_mmimg2vec(encoder)
        backbone = {'state_dict': {**ours, 'backbone.strange': torch.ones(1)}, 'meta': {'epoch': 3}}
        found = self.there_and_back(backbone, tmp_path, layouts[::-1], 'encoder')
        assert_same(found, backbone)

    def test_the_encoder_of_a_converted_model(self, theirs):
        state = with_strangers(theirs['model'])
        ours = convert_checkpoint({'model': state, 'epoch': 1}, 'mmimg2vec', num_heads=4)
        back = convert_checkpoint(ours, 'authors', 'encoder')
        encoder = {name: x for name, x in state.items() if name.startswith('encoder.')}
        assert_same(back, {'model': encoder})

    def test_a_line_says_so(self, theirs, monkeypatch):
        lines = []
        monkeypatch.setattr('mmimg2vec.checkpoint.layouts.cae_v2.print_log', lambda text, **_: lines.append(text))
        convert_checkpoint(theirs, 'mmimg2vec', num_heads=4)
        assert not lines  # what is known to be without use is no surprise
        state = with_strangers(theirs['model'])
        convert_checkpoint({'model': state}, 'mmimg2vec', num_heads=4)
        (line,) = lines
        assert 'know (4)' in line and 'encoder.strange' in line and '\n' not in line


@pytest.mark.parametrize('part', ['model', 'encoder'])
def test_the_first_cae_is_refused_whatever_part_is_wanted(theirs, part):
    spoilt = {'model': first_cae(theirs['model'])}
    with pytest.raises(UserError, match='checkpoint of the first CAE, not of CAE v2'):
        convert_checkpoint(spoilt, 'mmimg2vec', part, num_heads=4)


def test_encoder_starts_downstream_models(theirs, tmp_path):
    ours = convert_checkpoint(theirs, 'mmimg2vec', 'encoder', num_heads=4)
    torch.save(ours, tmp_path / 'backbone.pth')
    config = backbone_config(tmp_path / 'backbone.pth')
    assert config['layer_scale_init_value'] > 0 and config['arch']['num_heads'] == 4
    model = read_backbone(tmp_path / 'backbone.pth').build()
    assert isinstance(model, VisionTransformer)
    assert model(torch.randn(1, 3, 64, 64))[-1].isfinite().all()


def test_without_its_heads_a_model_is_converted_and_not_described(theirs):
    ours = convert_checkpoint(theirs, 'mmimg2vec')
    assert 'meta' not in ours
    assert_identical(convert_checkpoint(ours, 'authors')['model'], theirs['model'])
    for heads in (7, -3, 0):
        with pytest.raises(UserError, match=f'--num-heads {heads} does not divide the width 48'):
            convert_checkpoint(theirs, 'mmimg2vec', num_heads=heads)


@pytest.mark.parametrize(
    ('width', 'heads'), [(192, 12), (384, 12), (768, 12), (1024, 16), (48, None)], ids='width {}'.format
)
def test_heads_of_each_of_the_authors_sizes(width, heads):
    """Their ViT-Ti and ViT-S have 12 heads too, unlike DeiT's with 3 and 6."""
    state = {
        'encoder.cls_token': torch.zeros(1, 1, width),
        'encoder.pos_embed': torch.zeros(1, 197, width),
        'encoder.patch_embed.proj.weight': torch.zeros(width, 3, 16, 16),
        'encoder.blocks.0.attn.qkv.weight': torch.zeros(3 * width, width),
        'encoder.blocks.0.mlp.fc1.weight': torch.zeros(4 * width, width),
    }
    ours = convert_checkpoint(state, 'mmimg2vec', 'encoder')
    assert ('meta' in ours) == (heads is not None)
    if heads is not None:
        assert f"'embed_dims': {width}, 'num_layers': 1, 'num_heads': {heads}" in ours['meta']['config']


@pytest.mark.parametrize(
    'name',
    [
        *(
            'encoder.pos_embed',
            'encoder.patch_embed.proj.weight',
            'encoder.blocks.0.mlp.fc1.weight',
        ),
        *('encoder.blocks.0.attn.qkv.weight', 'mask_token', 'decoder.head.weight'),
    ],
)
def test_a_checkpoint_that_is_cut_short_is_named(theirs, name):
    state = {key: value for key, value in theirs['model'].items() if key != name}
    with pytest.raises(UserError, match=f'cut short, or of another model: it has no {re.escape(name)}'):
        convert_checkpoint({'model': state}, 'mmimg2vec')


def test_a_second_conversion_is_named(theirs):
    ours = convert_checkpoint(theirs, 'mmimg2vec')
    with pytest.raises(UserError, match='the names of this project already: convert it with --to authors'):
        convert_checkpoint(ours, 'mmimg2vec')
    with pytest.raises(UserError, match="the authors' names already: convert it with --to mmimg2vec"):
        convert_checkpoint(theirs, 'authors')
    # The authors' weights under the other key are taken all the same, and come back under it.
    other = {'state_dict': theirs['model']}
    back = convert_checkpoint(convert_checkpoint(other, 'mmimg2vec'), 'authors')
    assert list(back) == ['state_dict']
    assert_identical(back['state_dict'], theirs['model'])


def first_cae_release(state):
    """Names of the first public code of the first CAE."""
    encoder = {name: value for name, value in state.items() if name.startswith('encoder.')}
    return {
        **encoder,
        'pretext_neck.mask_token': torch.zeros(1, 1, 8),
        'teacher.norm.bias': torch.zeros(8),
    }


def first_cae(state):
    return {**state, 'alignment_encoder.cls_token': state['encoder.cls_token']}


def first_cae_decoder(state):
    return {**state, 'decoder.decoder_blocks.0.norm1.weight': torch.ones(4)}


def of_another_kind(state):
    return {'layer1.0.weight': torch.ones(3)}


def other_positions(state):
    return {**state, 'rd_pos_embed': state['rd_pos_embed'] + 0.1}


def no_value_bias(state):
    return {k: v for k, v in state.items() if k != 'encoder.blocks.1.attn.v_bias'}


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (first_cae, 'checkpoint of the first CAE, not of CAE v2'),
        (first_cae_release, 'checkpoint of the first CAE, not of CAE v2: it has pretext_neck'),
        (first_cae_decoder, 'checkpoint of the first CAE, not of CAE v2'),
        (of_another_kind, 'no encoder.cls_token'),
        (other_positions, 'not the fixed sine-cosine table'),
        (no_value_bias, 'q_bias, but not its counterpart'),
    ],
)
def test_mistakes_are_one_line(spoil, message):
    with pytest.raises(UserError, match=message) as caught:
        convert_checkpoint(spoil(released(FILES[0])['model']), 'mmimg2vec', num_heads=4)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('state', 'message'),
    [
        ({'encoder.cls_token': torch.ones(1)}, 'no checkpoint of mmimg2vec.CAEv2'),
        (
            {'backbone.cls_token': torch.ones(1), 'fusion.proj_weights': torch.ones(1)},
            'fusion.proj_weights, a name that .* no place for',
        ),
    ],
)
def test_what_the_authors_cannot_take(state, message):
    with pytest.raises(UserError, match=message):
        to_authors(state)


def test_command_line(tmp_path):
    torch.save({'model': first_cae(released(FILES[0])['model'])}, tmp_path / 'first.pth')
    command = [sys.executable, 'tools/model_converters/cae_v2.py', tmp_path / 'first.pth']
    result = subprocess.run(
        [*command, tmp_path / 'out.pth', '--to', 'mmimg2vec'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', 'PATH': '/usr/bin:/bin'},
    )
    assert result.returncode == 2 and not (tmp_path / 'out.pth').exists()
    lines = [line for line in result.stderr.splitlines() if 'error' in line]
    assert len(lines) == 1 and 'first.pth' in lines[0] and 'first CAE' in lines[0]
    assert 'Traceback' not in result.stderr
