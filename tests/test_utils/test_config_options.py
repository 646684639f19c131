"""Environment variables and changes of type reach a config as they are meant."""

import os

import pytest

from mmimg2vec.engine.command_line import run
from mmimg2vec.errors import UserError
from mmimg2vec.utils.config import load_config

CONFIG = """
_base_ = ['base.py']
data = dict(root='{{$IMG2VEC_TEST:data/mine}}/images', names=['{{$IMG2VEC_TEST:data/mine}}'])
epochs = {{'$IMG2VEC_TEST_EPOCHS:4'}}
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.1, betas=(0.9, 0.95), weight_decay=0.05))
model = dict(teacher=dict(type='mmpretrain.ResNet', depth=50, init_cfg=dict(type='Pretrained', checkpoint='a.pth')))
default_scope = 'mmpretrain'
custom_imports = dict(imports=['mmimg2vec'])
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / 'config.py').write_text(CONFIG)
    (tmp_path / 'base.py').write_text("other = '{{$IMG2VEC_TEST:data/mine}}'\n")
    return str(tmp_path / 'config.py')


@pytest.mark.parametrize(
    'value',
    [
        "John's photos",
        'C:\\new\\table',
        'say "hello"',
        'two\nlines',
        "x' + __import__('os').environ.setdefault('IMG2VEC_TEST_CODE', 'ran') + '",
        'plain/folder',
        'f\u00fcr {alle}',
    ],
)
def test_values_of_variables_stay_values(config, value, monkeypatch):
    """mmengine would put them into the text of a program."""
    monkeypatch.setenv('IMG2VEC_TEST', value)
    monkeypatch.delenv('IMG2VEC_TEST_CODE', raising=False)
    cfg = load_config(config)
    assert cfg.data.root == f'{value}/images' and cfg.data.names == [value] and cfg.other == value and cfg.epochs == 4
    assert os.environ['IMG2VEC_TEST'] == value and 'IMG2VEC_TEST_CODE' not in os.environ


def test_a_number_can_come_from_a_variable_and_code_cannot(config, monkeypatch):
    monkeypatch.setenv('IMG2VEC_TEST_EPOCHS', '7')
    assert load_config(config).epochs == 7
    monkeypatch.setenv('IMG2VEC_TEST_EPOCHS', '__import__("os").getpid()')
    with pytest.raises(UserError, match=r'cannot be read: .*IMG2VEC_TEST_EPOCHS'):
        load_config(config)


def test_a_message_about_a_value_names_its_variable(config, monkeypatch, capsys):
    load_config(config)

    def main():
        raise UserError('no images in data/mine/images: set data_root')

    with pytest.raises(SystemExit):
        run(main)
    assert 'set data_root (the environment variable IMG2VEC_TEST sets it)' in capsys.readouterr().err


def test_another_type_by_an_option_leaves_its_predecessors_arguments_out(config, capsys):
    options = {
        'model.teacher.type': 'mmimg2vec.TimmTeacher',
        'model.teacher.model_name': 'resnet10t',
        'optim_wrapper.optimizer.type': 'SGD',
        'optim_wrapper.optimizer.momentum': 0.9,
    }
    cfg = load_config(config, options)
    assert set(cfg.model.teacher) == {'type', 'model_name', 'init_cfg'}
    assert set(cfg.optim_wrapper.optimizer) == {'type', 'lr', 'momentum', 'weight_decay'}
    notes = capsys.readouterr().err
    assert 'note: model.teacher is a mmimg2vec.TimmTeacher now, which takes no depth: left out' in notes
    assert 'note: optim_wrapper.optimizer is a SGD now, which takes no betas: left out' in notes
    assert load_config(config, {'model.teacher.type': 'mmpretrain.ResNet'}).model.teacher.depth == 50
