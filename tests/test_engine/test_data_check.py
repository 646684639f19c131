"""A run whose data do not match each other or the model ends before its first step."""

from types import SimpleNamespace

import downstream
import pytest

from mmimg2vec.engine.hooks import DataCheckHook
from mmimg2vec.errors import UserError


@pytest.fixture
def shapes(tmp_path):
    return downstream.small_shapes(tmp_path)


def widen(cfg, task):
    if task == 'classifier':
        cfg.model.head.num_classes = 99
        return 'head'
    if task == 'detector':
        cfg.model.roi_head.mask_head.num_classes = 99
        return 'roi_head.mask_head'
    cfg.model.auxiliary_head.num_classes = 99
    return 'auxiliary_head'


@pytest.mark.parametrize('task', ['classifier', 'detector', 'segmentor'])
def test_classes_that_are_not_the_heads(shapes, tmp_path, task):
    cfg = getattr(downstream, task)(shapes)
    head = widen(cfg, task)
    message = rf'model.{head} has num_classes=99, and the dataset of '
    runner = downstream.runner_of(cfg, tmp_path / 'train')
    with pytest.raises(UserError, match=message + 'train_dataloader'):
        runner.train()
    assert runner.iter == 0
    with pytest.raises(UserError, match=message + 'test_dataloader'):
        downstream.runner_of(cfg, tmp_path / 'test').test()


def test_validation_data_are_checked_before_training(shapes, tmp_path):
    cfg = downstream.detector(shapes)
    cfg.update(val_dataloader=cfg.test_dataloader, val_evaluator=cfg.test_evaluator, val_cfg=dict())
    (shapes / 'coco' / 'val' / '000001.jpg').unlink()
    with pytest.raises(UserError, match=r'1 of 3 images .* val_dataloader are missing'):
        downstream.runner_of(cfg, tmp_path / 'run').train()


def test_what_is_noted_reaches_the_log(monkeypatch):
    lines = []
    run = SimpleNamespace(logger=SimpleNamespace(info=lines.append))
    for notes in ([], ['one', 'two']):
        hook = DataCheckHook()
        monkeypatch.setattr(hook, '_check', lambda runner, notes=notes: notes)
        hook.before_run(run)
    assert lines == ['data check: one | two']


def test_a_test_needs_no_training_data(shapes, tmp_path):
    cfg = downstream.segmentor(shapes)
    (shapes / 'ade' / 'images' / 'training').rename(shapes / 'elsewhere')
    metrics = downstream.runner_of(cfg, tmp_path / 'test').test()
    assert metrics['mIoU'] >= 0
