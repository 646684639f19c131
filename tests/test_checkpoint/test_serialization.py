import argparse
import hashlib
import pickle
import shlex
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, load_checkpoint

import mmimg2vec  # noqa: F401  (registers the loader)
from mmimg2vec.checkpoint.safe_load import safe_load
from mmimg2vec.checkpoint.serialization import from_serializable, to_serializable
from mmimg2vec.errors import UserError


class Payload:
    """Writes a file when it is unpickled by a loader that executes code."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (Path(self.path), 'executed')


def payload_files(tmp_path):
    content = {'state_dict': {'weight': torch.zeros(2)}, 'meta': Payload(tmp_path / 'executed')}
    torch.save(content, tmp_path / 'zip.pth')
    torch.save(content, tmp_path / 'legacy.pth', _use_new_zipfile_serialization=False)
    (tmp_path / 'plain.pth').write_bytes(pickle.dumps(content))
    return [tmp_path / name for name in ('zip.pth', 'legacy.pth', 'plain.pth')]


def test_the_payload_would_execute(tmp_path):
    torch.load(payload_files(tmp_path)[0], weights_only=False)
    assert (tmp_path / 'executed').exists()


@pytest.mark.parametrize('index', range(3))
def test_a_file_with_code_executes_nothing(tmp_path, index):
    path = payload_files(tmp_path)[index]
    with pytest.raises(UserError, match=path.name):
        CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    with pytest.raises(UserError):
        load_checkpoint(torch.nn.Linear(2, 2), str(path))
    with pytest.raises(UserError):
        safe_load(path.read_bytes(), name='s3://bucket/file.pth')
    assert not (tmp_path / 'executed').exists()


def test_a_refusal_names_what_the_file_holds(tmp_path):
    path = tmp_path / 'namespace.pth'
    torch.save({'model': {}, 'args': argparse.Namespace(lr=1)}, path)
    with pytest.raises(UserError, match=r'namespace.pth holds argparse.Namespace objects'):
        safe_load(path)


@pytest.mark.parametrize('protocol', range(6))
def test_a_plain_pickle_is_named_by_what_it_would_call(tmp_path, protocol):
    path = tmp_path / 'plain.pth'
    content = {'weight': torch.zeros(2), 'meta': Payload(tmp_path / 'executed')}
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(UserError, match=r'plain\.pth holds [\w.]*(pathlib|getattr)[\w.]* objects'):
        safe_load(path)
    assert not (tmp_path / 'executed').exists()


def test_the_advice_keeps_the_tensors(tmp_path, monkeypatch):
    content = {
        'student': {'weight': torch.ones(2), 'steps': 3},
        'args': argparse.Namespace(lr=1),
        'epoch': 7,
    }
    torch.save(content, tmp_path / 'OLD')
    with pytest.raises(UserError) as caught:
        safe_load(tmp_path / 'OLD')
    command = shlex.split(str(caught.value).split('keep its tensors only: ')[1])
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, *command[1:]], check=True)
    assert list(safe_load('NEW')) == ['student']
    assert torch.equal(safe_load('NEW')['student']['weight'], torch.ones(2))


def test_tensors_load(tmp_path):
    path = tmp_path / 'good.pth'
    content = {'state_dict': OrderedDict(weight=torch.arange(3.0)), 'meta': {'a': (1, [None])}}
    torch.save(content, path)
    loaded = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    assert torch.equal(loaded['state_dict']['weight'], torch.arange(3.0))
    assert loaded['meta'] == content['meta']


def test_safetensors_load(tmp_path):
    safetensors = pytest.importorskip('safetensors.torch')
    path = tmp_path / 'good.safetensors'
    safetensors.save_file({'weight': torch.arange(3.0)}, path)
    loaded = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    assert torch.equal(loaded['weight'], torch.arange(3.0))
    path.write_bytes(b'\0' * 20)
    with pytest.raises(UserError, match='as safetensors'):
        safe_load(path)


@pytest.mark.parametrize('content', [b'', b'no checkpoint at all', None])
def test_damaged_and_missing_files(tmp_path, content):
    path = tmp_path / 'bad.pth'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r'bad\.pth'):
        safe_load(path)


def test_a_file_cut_short(tmp_path):
    path = tmp_path / 'cut.pth'
    torch.save({'weight': torch.zeros(5000)}, path)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(UserError, match='cannot be read as a checkpoint'):
        safe_load(path)


def test_every_scheme_is_replaced(tmp_path, monkeypatch):
    for prefix, loader in CheckpointLoader._schemes.items():
        # The first reads with the others and is there where a hook has asked for it; the second is the benchmark's.
        if prefix in ('named-weights://', 'random-clip:'):
            continue
        assert loader.__module__ == 'mmimg2vec.checkpoint.sources', prefix
    with pytest.raises(UserError, match='loaded safely'):
        CheckpointLoader.load_checkpoint('pavi://model')
    for name in ('torchvision://nothing', 'openmmlab://nothing', 'mmcls://nothing'):
        with pytest.raises(UserError, match='is no known name'):
            CheckpointLoader.load_checkpoint(name)


def test_urls_are_downloaded_once(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    torch.save({'weight': torch.ones(1)}, tmp_path / 'remote.pth')
    downloads = []

    def download(url, path, progress):
        downloads.append(url)
        Path(path).write_bytes((tmp_path / 'remote.pth').read_bytes())

    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    for _ in range(2):
        loaded = CheckpointLoader.load_checkpoint('https://host/folder/remote.pth?x=1', 'cpu')
        assert torch.equal(loaded['weight'], torch.ones(1))
    assert len(downloads) == 1

    def fail(url, path, progress):
        raise OSError('no route')

    monkeypatch.setattr(torch.hub, 'download_url_to_file', fail)
    with pytest.raises(UserError, match=r'cannot be downloaded .*put the file at'):
        CheckpointLoader.load_checkpoint('https://host/other.pth', 'cpu')


def test_plain_form_of_everything_in_a_checkpoint(tmp_path):
    class Odd:
        pass

    history = HistoryBuffer([1.5, 2.0], [1, 3], max_length=7)
    state = torch.nn.BatchNorm1d(2).state_dict()
    content = {
        'scalar': np.float64(0.1),
        'array': np.arange(3),
        'set': {1},
        'path': Path('a/b'),
        'device': torch.device('cpu'),
        'history': history,
        'odd': Odd(),
        'nested': [{'odd': Odd(), 'number': np.int64(3)}],
        'state_dict': state,
    }
    path = tmp_path / 'plain.pth'
    torch.save(to_serializable(content), path)
    loaded = from_serializable(safe_load(path))
    assert loaded['scalar'] == 0.1 and isinstance(loaded['scalar'], float)
    assert loaded['array'].tolist() == [0, 1, 2]
    assert loaded['set'] == [1] and loaded['path'] == 'a/b' and loaded['device'] == 'cpu'
    assert 'odd' not in loaded and loaded['nested'] == [{'number': 3}]
    assert isinstance(loaded['history'], HistoryBuffer) and loaded['history'].max_length == 7
    for got, expected in zip(loaded['history'].data, history.data, strict=True):
        assert np.array_equal(got, expected) and got.dtype == expected.dtype
    assert loaded['state_dict']._metadata == state._metadata
    assert list(loaded['state_dict']) == list(state)


def test_a_name_with_a_hash_is_verified_and_others_are_kept_by_address(tmp_path, monkeypatch):
    """Two addresses with one file name are two files; a name with the file's SHA-256 stands for one content."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    contents = {}
    for index, host in enumerate('ab'):
        torch.save({'weight': torch.full((1,), index)}, tmp_path / host)
        contents[f'https://{host}/net.pth'] = (tmp_path / host).read_bytes()
    digest = hashlib.sha256(contents['https://a/net.pth']).hexdigest()
    good, bad = f'https://a/net-{digest[:8]}.pth', 'https://a/net_20240101-0123abcd.pth'
    contents |= {good: contents['https://a/net.pth'], bad: contents['https://a/net.pth']}
    monkeypatch.setattr(
        torch.hub, 'download_url_to_file', lambda url, path, progress: Path(path).write_bytes(contents[url])
    )
    for index, host in enumerate('ab'):
        assert CheckpointLoader.load_checkpoint(f'https://{host}/net.pth', 'cpu')['weight'] == index
    assert CheckpointLoader.load_checkpoint(good, 'cpu')['weight'] == 0
    assert (tmp_path / 'hub/checkpoints' / Path(good).name).is_file()
    with pytest.raises(UserError, match=rf'is not the file that {bad} names: its SHA-256 is {digest[:8]}; remove it'):
        CheckpointLoader.load_checkpoint(bad, 'cpu')


STOCK = {
    'state_dict': {'weight': torch.ones(2)},
    'message_hub': {
        'log_scalars': OrderedDict(loss=HistoryBuffer([0.5, 1.5], [1, 1])),
        'runtime_info': OrderedDict(
            score=np.float64(3), rows=np.arange(3), names=np.array(['a']), flag=np.bool_(True), count=np.int64(3)
        ),
    },
    'meta': {'epoch': 1, 'config': 'raise SystemExit("executed")'},
}


@pytest.mark.skipif(not hasattr(torch.serialization, 'safe_globals'), reason='torch 2.5 and newer')
def test_checkpoints_of_stock_openmmlab_runs_load(tmp_path):
    """Log histories and plain data of numpy are taken by name; the config text, which mmengine executes, is not."""
    torch.save(STOCK, tmp_path / 'stock.pth')
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'stock.pth'), 'cpu')
    history = loaded['message_hub']['log_scalars']['loss']
    assert type(history) is HistoryBuffer and history.mean() == 1.0 and history.statistics('min') == 0.5
    history.update(4.0)
    assert history.data[0].tolist() == [0.5, 1.5, 4.0]
    info = loaded['message_hub']['runtime_info']
    assert info['score'] == 3.0 and info['rows'].tolist() == [0, 1, 2] and info['names'][0] == 'a' and info['flag']
    assert loaded['meta'] == {'epoch': 1, 'config_text': STOCK['meta']['config']}


@pytest.mark.skipif(not hasattr(torch.serialization, 'safe_globals'), reason='torch 2.5 and newer')
def test_a_history_brings_no_functions(tmp_path):
    history = HistoryBuffer([1.0], [1])
    history.__dict__['mean'] = print
    history.__dict__['_extra'] = HistoryBuffer.max
    torch.save(history, tmp_path / 'history.pth')
    with pytest.raises(UserError, match=r'holds .*print objects'):
        safe_load(tmp_path / 'history.pth')
    del history.__dict__['mean']
    torch.save(history, tmp_path / 'history.pth')
    before = dict(HistoryBuffer._statistics_methods)
    loaded = safe_load(tmp_path / 'history.pth')
    assert '_extra' not in loaded.__dict__ and HistoryBuffer._statistics_methods == before


def test_what_has_no_plain_form_is_left_out_and_said(monkeypatch):
    lines = []
    monkeypatch.setattr('mmimg2vec.checkpoint.serialization.print_log', lambda text, *_: lines.append(text))
    assert to_serializable({'hooks': {'state': object(), 'count': 3}}) == {'hooks': {'count': 3}}
    (line,) = lines
    assert "['hooks']['state'] of type object" in line and line.endswith('it is left out of the checkpoint')
