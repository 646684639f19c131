import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from mmimg2vec.checkpoint.convert import convert_file
from mmimg2vec.checkpoint.layouts.mff import convert_checkpoint
from mmimg2vec.engine.command_line import run
from mmimg2vec.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
PATCH = 'backbone.patch_embed.projection.weight'


def tensor(seed, dtype=torch.float32):
    return torch.randn(2, 3, generator=torch.Generator().manual_seed(seed)).to(dtype)


def mff():
    """A checkpoint in mmpretrain's names, as its runner writes it, with entries that nobody knows."""
    state = OrderedDict(
        {
            'backbone.cls_token': tensor(0),
            'backbone.pos_embed': tensor(1),
            'backbone.proj_weights': tensor(2),
            PATCH: tensor(3),
            'backbone.proj_layers.0.weight': tensor(4, torch.bfloat16),
            'backbone.proj_layers.0.bias': torch.tensor([float('nan'), -0.0]),
            'backbone.projector.weight': tensor(5),
            'neck.decoder_pos_embed': tensor(6, torch.float16),
            'neck.mask_token': tensor(7),
            'extra.counter': torch.tensor(3),
        }
    )
    state._metadata = OrderedDict({'': dict(version=1), 'backbone.proj_layers': dict(version=1)})
    return {
        'meta': dict(epoch=3),
        'state_dict': state,
        'optimizer': dict(state={0: dict(exp_avg=tensor(8))}, param_groups=[dict(lr=0.1)]),
        'message_hub': dict(log_scalars={}),
    }


def same(first, second):
    """Equal in structure, order, types and every bit."""
    assert type(first) is type(second)
    if isinstance(first, dict):
        assert list(first) == list(second)
        return all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return all(same(a, b) for a, b in zip(first, second, strict=True))
    if isinstance(first, torch.Tensor):
        bits = [value.contiguous().view(-1).view(torch.uint8) for value in (first, second)]
        return first.dtype == second.dtype and torch.equal(*bits)
    return first == second


def test_names():
    converted = convert_checkpoint(mff(), 'mmimg2vec')
    state, before = converted['state_dict'], mff()['state_dict']
    renamed = {new: old for new, old in zip(state, before, strict=True) if new != old}
    assert renamed == {
        'fusion.proj_weights': 'backbone.proj_weights',
        'fusion.proj_layers.0.weight': 'backbone.proj_layers.0.weight',
        'fusion.proj_layers.0.bias': 'backbone.proj_layers.0.bias',
    }
    assert all(same(state[n], before[o]) for n, o in zip(state, before, strict=True))
    assert list(state._metadata) == ['', 'fusion.proj_layers']
    assert converted['meta'] == dict(epoch=3)
    # What would be taken up wrongly is out of the way, but there.
    assert list(converted) == ['meta', 'state_dict', 'carried']
    assert list(converted['carried']['entries']) == ['optimizer', 'message_hub']


@pytest.mark.parametrize('start', ['mmpretrain', 'mmimg2vec'])
@pytest.mark.parametrize('bare', [False, True])
def test_round_trip(tmp_path, start, bare):
    checkpoint = mff()
    if start == 'mmimg2vec':
        checkpoint['state_dict'] = convert_checkpoint(checkpoint, 'mmimg2vec')['state_dict']
    checkpoint = checkpoint['state_dict'] if bare else checkpoint
    there = 'mmimg2vec' if start == 'mmpretrain' else 'mmpretrain'
    torch.save(checkpoint, tmp_path / 'a.pth')
    count = convert_file(tmp_path / 'a.pth', tmp_path / 'new' / 'b.pth', lambda c: convert_checkpoint(c, there))
    assert count == 3
    # A second time in the same direction changes nothing.
    convert_file(tmp_path / 'new' / 'b.pth', tmp_path / 'c.pth', lambda c: convert_checkpoint(c, there))
    convert_file(tmp_path / 'c.pth', tmp_path / 'd.pth', lambda c: convert_checkpoint(c, start))
    found = torch.load(tmp_path / 'd.pth', weights_only=True)
    if bare:
        found, checkpoint = OrderedDict(found), OrderedDict(checkpoint)
    assert same(found, checkpoint)
    if not bare:
        assert found['state_dict']._metadata == checkpoint['state_dict']._metadata


def test_order_of_what_is_beside_the_weights(tmp_path):
    checkpoint = mff()
    checkpoint = {key: checkpoint[key] for key in ('optimizer', 'state_dict', 'message_hub', 'meta')}
    checkpoint['strange'] = tensor(9, torch.bfloat16)
    for start, there in (('mmpretrain', 'mmimg2vec'), ('mmimg2vec', 'mmpretrain')):
        checkpoint['state_dict'] = convert_checkpoint(mff(), start)['state_dict']
        assert same(convert_checkpoint(convert_checkpoint(checkpoint, there), start), checkpoint)
        bare = {key: checkpoint[key] for key in ('state_dict', 'meta')}
        assert same(convert_checkpoint(convert_checkpoint(bare, there), start), bare)


def test_mae_has_the_same_names_on_both_sides(tmp_path):
    state = {k: v for k, v in mff()['state_dict'].items() if 'backbone.proj_' not in k}
    torch.save(dict(state_dict=state), tmp_path / 'a.pth')
    for layout in ('mmimg2vec', 'mmpretrain'):
        target = tmp_path / f'{layout}.pth'
        assert not convert_file(tmp_path / 'a.pth', target, lambda c: convert_checkpoint(c, layout))  # noqa: B023
        assert same(torch.load(target, weights_only=True), dict(state_dict=state))


def test_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / 'tools' / 'model_converters'))
    import mff as script

    torch.save(mff(), tmp_path / 'a.pth')
    words = [str(tmp_path / 'a.pth'), str(tmp_path / 'b.pth'), '--to', 'mmimg2vec']
    monkeypatch.setattr('sys.argv', ['mff.py', *words])
    run(script.main)
    assert 'b.pth is written, 3 tensors renamed' in capsys.readouterr().out
    monkeypatch.setattr('sys.argv', ['mff.py', str(tmp_path / 'gone.pth'), *words[1:]])
    with pytest.raises(SystemExit) as end:
        run(script.main)
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith('mmimg2vec: error: no checkpoint') and error.count('\n') == 1
    sys.modules.pop('mff')


@pytest.mark.parametrize(
    ('checkpoint', 'message'),
    [
        (dict(state_dict={'layer4.weight': tensor(0)}), 'neither an MFF nor an MAE'),
        (dict(model={PATCH: tensor(0)}), 'neither an MFF nor an MAE'),
        (
            {
                PATCH: tensor(0),
                'fusion.proj_weights': tensor(1),
                'backbone.proj_weights': tensor(1),
            },
            'the fusion under two names',
        ),
        ([tensor(0)], 'holds no weights by name'),
    ],
)
def test_files_of_another_kind_are_named(tmp_path, checkpoint, message):
    torch.save(checkpoint, tmp_path / 'a.pth')
    with pytest.raises(UserError, match=message) as caught:
        convert_file(tmp_path / 'a.pth', tmp_path / 'b.pth', lambda c: convert_checkpoint(c, 'mmimg2vec'))
    assert 'a.pth' in str(caught.value) and '\n' not in str(caught.value)
    assert not list(tmp_path.glob('b.pth*'))


def test_targets_that_cannot_be_written(tmp_path):
    source = tmp_path / 'a.pth'
    torch.save(mff(), source)
    for target, message in ((source, 'name another one'), (source / 'b.pth', 'cannot be written')):
        with pytest.raises(UserError, match=message):
            convert_file(source, target, lambda c: convert_checkpoint(c, 'mmimg2vec'))
