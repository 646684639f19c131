"""Pre-training and loading from Python, as in a notebook."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toy
from mmengine.registry import MODELS
from tiny_run import STUDENT

import mmimg2vec
from mmimg2vec.engine.pretraining import pretraining_config
from mmimg2vec.errors import UserError
from mmimg2vec.utils.config import load_config

TEACHER = """
target_generator = dict(
    type='mmimg2vec.BackboneTargetGenerator',
    teacher=dict(
        type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8,
        init_cfg=dict(type='Pretrained', checkpoint='{}'),
    ),
    output_stride=16,
    dtype='float32',
)
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Images, a tiny student, and a teacher with a file of its own."""
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    torch.manual_seed(0)
    teacher = MODELS.build(dict(type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8))
    torch.save(teacher.state_dict(), tmp_path / 'teacher.pth')
    (tmp_path / 'teacher.py').write_text(TEACHER.format(tmp_path / 'teacher.pth'))
    (tmp_path / 'student.py').write_text(STUDENT)
    toy.write_images(tmp_path / 'images')
    return tmp_path


def test_five_lines(files, capsys):
    arguments = dict(images=files / 'images', teacher=str(files / 'teacher.py'), out=files / 'run')
    arguments['student'] = str(files / 'student.py')
    path = mmimg2vec.pretrain(**arguments, epochs=1)
    said = capsys.readouterr().out
    assert f'config: {files}/student.py' in said and 'train_cfg.max_epochs = 1' in said
    assert path == files / 'run' / 'backbone.pth'

    model = mmimg2vec.load_backbone(path)
    with torch.no_grad():
        (tokens,) = model(torch.rand(2, 3, 64, 96))
    assert tokens.shape == (2, 1 + 4 * 6, 24) and not model.training
    assert model.preprocessing == dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225], channel_order='RGB')

    # The file that the run leaves is what was built, and trains the same from the command line.
    written, built = load_config(str(files / 'run' / 'student.py')), pretraining_config(**arguments, epochs=1)
    assert written.model == built.model and written.train_cfg == built.train_cfg
    assert written.train_dataloader == built.train_dataloader and written.optim_wrapper.dtype == 'float32'
    assert written.model.target_generator.normalization == 'layer'  # the reference's

    with pytest.raises(UserError, match='holds the results of another run'):
        mmimg2vec.pretrain(**arguments, epochs=1)
    assert mmimg2vec.pretrain(**arguments, epochs=1, overwrite=True) == path  # in the same process


def test_the_shipped_config(tmp_path):
    cfg = pretraining_config(tmp_path, out=tmp_path / 'run', epochs=100)
    assert cfg.model.backbone.arch == 'deit-small' and cfg.model.target_generator.teacher.depth == 50
    assert cfg.train_dataloader.dataset.dataset.data_root == str(tmp_path)
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[-1].end) == (100, 100)
    other = pretraining_config(tmp_path, teacher='dino_vit-small-p16', student='base')
    assert other.model.target_generator.teacher.type == 'mmimg2vec.TimmTeacher'
    assert other.model.backbone.arch == 'base' and other.model.target_generator.normalization == 'layer'


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(teacher='dino_resnet5'), r"no teacher 'dino_resnet5'; near: dino_resnet50: name "),
        (dict(images='nowhere'), 'no folder of images nowhere'),
        (dict(student='huge'), r"no student 'huge': small, base, or the file of a pre-training config"),
    ],
)
def test_mistakes(changes, message, tmp_path):
    with pytest.raises(UserError, match=message):
        mmimg2vec.pretrain(**{'images': tmp_path, 'out': tmp_path / 'run', **changes})
    assert not (tmp_path / 'run').exists()


def test_the_import_stays_cheap():
    code = (
        'import sys, mmimg2vec; assert "pretrain" in mmimg2vec.__all__\n'
        'heavy = [name for name in ("mmpretrain", "mmimg2vec.engine", "mmimg2vec.models") if name in sys.modules]\n'
        'sys.exit(", ".join(heavy) or 0)'
    )
    subprocess.run([sys.executable, '-c', code], check=True, cwd=Path(mmimg2vec.__file__).parents[1])
    with pytest.raises(AttributeError, match="has no attribute 'pretrian'"):
        mmimg2vec.pretrian  # noqa: B018
