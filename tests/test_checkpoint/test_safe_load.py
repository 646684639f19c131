"""A file with code executes nothing, at whichever door it is offered."""

import contextlib
import hashlib
import io
import json
import pickle
import random
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import CheckpointLoader, load_checkpoint
from test_serialization import payload_files

from mmimg2vec.checkpoint.backbone_file import backbone_config
from mmimg2vec.checkpoint.fill import fill
from mmimg2vec.checkpoint.newest import newest_checkpoint, write_checksum
from mmimg2vec.checkpoint.safe_load import safe_load
from mmimg2vec.checkpoint.sources import cached_path, load_verified
from mmimg2vec.datasets.errors import UnreadableImage
from mmimg2vec.datasets.lists import check_list
from mmimg2vec.datasets.reading import read_image
from mmimg2vec.errors import UserError
from mmimg2vec.models import BackboneTargetGenerator
from mmimg2vec.teacher_selection import find_teacher
from mmimg2vec.teacher_selection.measurement import Settings, build_generator
from mmimg2vec.utils.json_lines import read_json_lines

RESNET = dict(type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8)


def load_teacher(teacher):
    generator = BackboneTargetGenerator(teacher, resample='bilinear')
    generator.connect((16, 16), 3, None, None)
    generator.describe((32, 32))
    generator.load()


def pretrained(path, **kwargs):
    return dict(type='Pretrained', checkpoint=str(path), **kwargs)


def by_init_cfg(path):
    class Module(BaseModule):
        pass

    init_default_scope('mmengine')
    Module(init_cfg=pretrained(path)).init_weights()


def by_transformers(path):
    pytest.importorskip('transformers')
    config = dict(model_type='vit', hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    folder = path.parent / 'folder'
    folder.mkdir()
    (folder / 'config.json').write_text(json.dumps({**config, 'intermediate_size': 8}))
    (folder / 'pytorch_model.bin').write_bytes(path.read_bytes())
    generator = build_generator(find_teacher(f'transformers:{folder}'), Settings())
    generator.load()


def by_timm(path):
    pytest.importorskip('timm')
    load_teacher(dict(type='mmimg2vec.TimmTeacher', model_name='resnet10t', init_cfg=pretrained(path)))


DOORS = {
    'load_from, resume': lambda path: CheckpointLoader.load_checkpoint(str(path)),
    'init_cfg': by_init_cfg,
    'load_checkpoint': lambda path: load_checkpoint(torch.nn.Linear(1, 1), str(path)),
    'fill': lambda path: fill(torch.nn.Linear(1, 1), str(path)),
    'teacher': lambda path: load_teacher(dict(RESNET, init_cfg=pretrained(path))),
    'verified teacher': lambda path: load_teacher(
        dict(
            RESNET,
            init_cfg=pretrained(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest()),
        )
    ),
    'timm': by_timm,
    'transformers': by_transformers,
    'earlier run': lambda path: load_teacher(str(path)),
    'name': lambda path: build_generator(find_teacher(str(path)), Settings()),
    'export': backbone_config,
}


@pytest.mark.parametrize('door', list(DOORS))
@pytest.mark.parametrize('index', range(3), ids=['zip', 'legacy', 'pickle'])
def test_code_is_not_executed(tmp_path, door, index):
    path = payload_files(tmp_path)[index]
    assert MODELS  # the registries are complete before anything is loaded
    with pytest.raises(UserError) as caught:
        DOORS[door](path)
    message = str(caught.value)
    # It is the file that is refused, and for what it holds.
    assert path.name in message or 'pytorch_model.bin' in message, message
    assert 'objects, which could run code' in message or 'is not a torch checkpoint' in message
    assert '\n' not in message
    assert not (tmp_path / 'executed').exists()


def resumed_from(path):
    folder = path.parent / 'run'
    folder.mkdir()
    (folder / 'iter_3.pth').write_bytes(path.read_bytes())
    write_checksum(folder / 'iter_3.pth', 3)
    newest_checkpoint(folder)


def as_image(path):
    path.with_suffix('.npy').write_bytes(path.read_bytes())
    read_image(path.with_suffix('.npy'))


def as_array_image(path):
    with open(path.with_suffix('.npy'), 'wb') as file:
        np.lib.format.write_array(file, np.array([Payload(path.parent / 'executed')]), allow_pickle=True)
    read_image(path.with_suffix('.npy'))


def in_a_tar(path):
    with tarfile.open(path.with_suffix('.tar'), 'w') as archive:
        archive.add(path, 'storages')
    safe_load(path.with_suffix('.tar'))


def as_safetensors(path):
    path.with_suffix('.safetensors').write_bytes(path.read_bytes())
    safe_load(path.with_suffix('.safetensors'))


def as_list(path):
    path.with_suffix('.txt').write_bytes(path.read_bytes())
    check_list(path.with_suffix('.txt'), True, 'train_dataloader')


class Payload:
    """An object whose unpickling makes a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


OTHERS = {
    'a URL of a file': (lambda path: CheckpointLoader.load_checkpoint(f'file://{path}'), UserError),
    'resume': (resumed_from, UserError),
    'an image': (as_image, UnreadableImage),
    'an array of objects as an image': (as_array_image, UnreadableImage),
    'in a tar archive': (in_a_tar, UserError),
    'safetensors': (as_safetensors, UserError),
    'a list of samples': (as_list, UserError),
    'lines of JSON': (read_json_lines, None),
}


@pytest.mark.parametrize('door', list(OTHERS))
@pytest.mark.parametrize('index', range(3), ids=['zip', 'legacy', 'pickle'])
def test_other_doors(tmp_path, door, index):
    path = payload_files(tmp_path)[index]
    enter, error = OTHERS[door]
    with pytest.raises(error) if error else contextlib.nullcontext() as caught:
        enter(path)
    assert error is None or '\n' not in str(caught.value)
    assert not (tmp_path / 'executed').exists()


def test_the_payload_of_these_tests_is_one(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / 'executed')))
    assert (tmp_path / 'executed').exists()


class Program(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def test_a_torchscript_archive_is_refused(tmp_path):
    """torch before 2.6 hands it to torch.jit.load, whatever ``weights_only`` says."""
    path = tmp_path / 'program.pt'
    torch.jit.save(torch.jit.script(Program()), str(path))
    for source in (path, path.read_bytes()):
        with pytest.raises(UserError, match=r'program.pt holds a TorchScript program.*state_dict'):
            safe_load(source, name=str(path))


@pytest.mark.parametrize('where', ['pickle', 'directory', 'cut'])
def test_damaged_bytes_are_a_line(tmp_path, where):
    path = tmp_path / 'damaged.pth'
    torch.save(dict(state_dict=dict(a=torch.arange(9.0)), meta=dict(iter=3)), path)
    whole = path.read_bytes()
    draw = random.Random(0)
    for _ in range(100):
        data = bytearray(whole)
        if where == 'cut':
            data = data[: draw.randrange(len(data))]
        else:
            begin, length = (0, 300) if where == 'pickle' else (len(data) - 600, 600)
            data[begin + draw.randrange(length)] = draw.randrange(256)
        path.write_bytes(data)
        with contextlib.suppress(UserError):  # some bytes matter to nobody
            safe_load(path)


def test_a_tar_archive_is_refused(tmp_path):
    path = tmp_path / 'old.pth'
    with tarfile.open(path, 'w') as archive:
        member = tarfile.TarInfo('../storages')
        member.size = 4
        archive.addfile(member, io.BytesIO(b'evil'))
    with pytest.raises(UserError, match=r'old\.pth is a tar archive'):
        safe_load(path)
    assert not (tmp_path.parent / 'storages').exists()


def test_verified_files_load(tmp_path):
    path = tmp_path / 'net.pth'
    torch.save({'weight': torch.arange(3.0)}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert torch.equal(load_verified(str(path), digest)['weight'], torch.arange(3.0))
    with pytest.raises(UserError, match='sha256 needs a file or a URL'):
        load_verified('torchvision://resnet50', digest)


def test_verified_urls_load(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    path = cached_path('https://host/net.pth')[0]
    torch.save({'weight': torch.arange(3.0)}, path)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert load_verified('https://host/net.pth', digest[:12])['weight'].shape == (3,)
    with pytest.raises(UserError, match='has the SHA-256'):
        load_verified('https://host/net.pth', '0' * 12)


def test_files_are_known_by_what_they_are(tmp_path):
    """Downloads lose their endings, and are packed, cut, or the page of an error."""
    weights = {'w': torch.ones(2)}
    torch.save(weights, tmp_path / 'torch.safetensors')
    safetensors = pytest.importorskip('safetensors.torch')
    safetensors.save_file(weights, str(tmp_path / 'other.pth'))
    for name in ('torch.safetensors', 'other.pth'):
        assert torch.equal(safe_load(tmp_path / name)['w'], weights['w'])
        assert torch.equal(safe_load((tmp_path / name).read_bytes(), name=name)['w'], weights['w'])
    with zipfile.ZipFile(tmp_path / 'a.pth', 'w') as archive:
        archive.writestr('run/epoch_1.pth', (tmp_path / 'torch.safetensors').read_bytes())
    (tmp_path / 'b.pth').touch()
    (tmp_path / 'c.pth').write_bytes(b'<!DOCTYPE html>')
    (tmp_path / 'd.safetensors').write_bytes(b'version https://git-lfs.github.com/spec/v1')
    (tmp_path / 'e.pth').mkdir()
    for name, message in [
        ('a.pth', 'is an archive of files, run/epoch_1.pth among them: unpack it'),
        ('b.pth', 'is empty'),
        ('c.pth', 'is a web page'),
        ('d.safetensors', 'is a pointer of Git LFS'),
        ('e.pth', 'it is a folder, name a file in it'),
    ]:
        with pytest.raises(UserError, match=message):
            safe_load(tmp_path / name)
