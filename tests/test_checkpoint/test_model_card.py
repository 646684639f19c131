"""The page beside an exported file, and its way to the hub."""

import hashlib
import re
import sys
from types import SimpleNamespace

import pytest
import torch
from tiny_vit import ARCH, random_vit

from mmimg2vec.checkpoint.export import export_backbone
from mmimg2vec.checkpoint.hub import push_to_hub
from mmimg2vec.checkpoint.model_card import RUN, card_text, command_line, license_of
from mmimg2vec.errors import UserError

ODD = '<script>alert(1)</script> | `x`\n# [a](b)'
DINO = 'https://dl.fbaipublicfiles.com/dino/dino_resnet50_pretrain/dino_resnet50_pretrain.pth'


def checkpoint(teacher=DINO, **run):
    backbone = dict(type='mmimg2vec.MaskedVisionTransformer', arch=ARCH, img_size=32, patch_size=8)
    generator = dict(teacher=dict(init_cfg=dict(type='Pretrained', checkpoint=teacher)))
    model = dict(type='mmimg2vec.Img2Vec', backbone=backbone, target_generator=generator)
    return {'meta': {'config': f'model = {model!r}\n', 'epoch': 7, 'mmimg2vec_version': '1', RUN: run}}


def test_what_a_card_says():
    run = dict(images=1234, knn={'knn/accuracy_cls_token': [12.34, 23.45]}, command='python tools/train.py c.py')
    text = card_text('backbone.pth', 'abc', checkpoint(**run), 'timm')
    head, body = text.removeprefix('---\n').split('\n---\n')
    assert 'library_name: timm' in head.splitlines()
    for part in (
        '| images | 1234 |',
        '| epochs | 7 |',
        'Img2Vec',
        '| SHA-256 | abc |',
        '12.3, 23.4',
        '```bash\npython',
    ):
        assert part in body, part
    assert r'DINO; license: Apache\-2.0' in body


def test_names_are_text_and_no_markup():
    knn = {ODD: [1.0]}
    text = card_text(ODD, 'abc', checkpoint(teacher=ODD, knn=knn, command='echo ``` \x1b[31m\n```\n<b>'))
    outside, command = text.split('## Command')
    assert not re.search(r'(?<!\\)[<`\[]', outside)
    # The fence is longer than any in the command, which ends with it alone.
    assert command.strip().startswith('````bash') and command.strip().endswith('````') and '\x1b' not in command
    assert all(line.count('|') - line.count('\\|') in (0, 3) for line in outside.splitlines())


def test_a_file_that_says_nothing_has_a_card():
    assert '| SHA-256 | abc |' in card_text('a.pth', 'abc', {})
    assert 'pixels' in card_text('a.pth', 'abc', None)


@pytest.mark.parametrize(
    ('argument', 'shown'),
    [
        ('/home/me/secret/train.py', 'train.py'),
        ('~/secret/train.py', 'train.py'),
        ('--cfg-options=images=/data/patients', '--cfg-options=images=patients'),
        ('configs/img2vec/a.py', 'configs/img2vec/a.py'),
        ('model.teacher=https://host/a/b.pth', 'model.teacher=https://host/a/b.pth'),
    ],
)
def test_a_command_has_no_folders_of_its_own(argument, shown):
    assert command_line(['python', argument]) == f'python {shown}'


def test_licenses_of_the_shipped_teachers():
    assert license_of(DINO) == ('DINO', 'Apache-2.0')
    assert 'no commercial use' in license_of('https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_base.pth')[1]
    assert license_of('work_dirs/mine/backbone.pth') == ('backbone.pth', 'not known here: that of its source')


@pytest.mark.parametrize(
    ('layout', 'name', 'card'), [('timm', 'vit', 'vit/README.md'), ('mmpretrain', 'p.pth', 'p.pth.md')]
)
def test_every_export_has_a_card(save, tmp_path, layout, name, card):
    pytest.importorskip('timm')
    export_backbone(save(random_vit()), tmp_path / name, layout)
    weights = tmp_path / (f'{name}/model.safetensors' if layout == 'timm' else name)
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in (tmp_path / card).read_text()


def exported(folder):
    folder.mkdir()
    for name in ('README.md', 'config.json', 'model.safetensors'):
        (folder / name).touch()
    return folder


def test_the_folder_goes_to_the_hub(tmp_path, monkeypatch):
    calls = []

    class HfApi:
        def create_repo(self, repo_id, *, private, exist_ok):
            calls.append((repo_id, private, exist_ok))

        def upload_folder(self, *, repo_id, folder_path):
            calls.append((repo_id, folder_path))
            return f'https://hub/{repo_id}'

    monkeypatch.setitem(sys.modules, 'huggingface_hub', SimpleNamespace(HfApi=HfApi))
    folder = exported(tmp_path / 'vit')
    assert push_to_hub(folder, 'me/vit') == 'https://hub/me/vit'
    assert calls == [('me/vit', True, True), ('me/vit', str(folder))]

    def refuse(self, *args, **kwargs):
        raise OSError('401 Client Error')

    monkeypatch.setattr(HfApi, 'create_repo', refuse)
    with pytest.raises(UserError, match='me/vit cannot be uploaded: 401'):
        push_to_hub(folder, 'me/vit')
    (folder / 'README.md').unlink()
    with pytest.raises(UserError, match=r'has no README\.md'):
        push_to_hub(folder, 'me/vit')


def test_the_fake_has_the_signatures_of_the_hub():
    hub = pytest.importorskip('huggingface_hub')
    import inspect

    assert {'private', 'exist_ok'} <= set(inspect.signature(hub.HfApi.create_repo).parameters)
    assert {'repo_id', 'folder_path'} <= set(inspect.signature(hub.HfApi.upload_folder).parameters)


def test_the_file_of_a_run_keeps_what_its_card_needs(save, tmp_path):
    """An export of the file, later and elsewhere, has the same facts."""
    source = save(random_vit())
    stored = torch.load(source, weights_only=True)
    stored['meta'][RUN] = dict(images=99, knn={}, command='python tools/train.py c.py')
    torch.save(stored, source)
    export_backbone(source, tmp_path / 'p.pth', 'mmpretrain')
    assert '| images | 99 |' in (tmp_path / 'p.pth.md').read_text()
