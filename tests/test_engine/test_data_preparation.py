"""The data of a run are checked once, before they are built, and read what was mended."""

from types import SimpleNamespace

import pytest

from mmimg2vec.engine import data_preparation
from mmimg2vec.engine.data_preparation import prepare_data, share_classes


@pytest.fixture
def calls(monkeypatch):
    """What was checked and what was changed, call by call."""
    made = []

    def check(loaders, evaluators, folder):
        made.append((sorted(loaders), sorted(evaluators), folder))
        return {'a.json': 'mended.json'}, ['two boxes mended', 'one left out']

    monkeypatch.setattr(data_preparation, 'check_data', check)
    monkeypatch.setattr(data_preparation, 'apply_to', lambda *arguments: made.append(arguments[2]))
    monkeypatch.setattr(data_preparation, 'print_log', lambda text, *_: made.append(text))
    return made


def runner(**parts):
    loader = dict(dataset=dict(type='CustomDataset'))
    return SimpleNamespace(
        **{'_train_dataloader': loader, '_val_dataloader': loader, '_val_evaluator': dict(type='A'), **parts},
        work_dir='run',
    )


def test_each_split_is_looked_at_once(calls):
    run = runner(_test_dataloader=object())  # that of the test is built already
    prepare_data(run, ('train', 'val'))
    assert calls == [
        (['train_dataloader', 'val_dataloader'], ['val_evaluator'], 'run'),
        'annotations: two boxes mended | one left out',
        {'a.json': 'mended.json'},
    ]
    calls.clear()
    prepare_data(run, ('train', 'val', 'test'))
    assert calls == []


def test_splits_that_come_later(calls):
    run = runner()
    prepare_data(run, ('train',))
    prepare_data(run, ('train', 'val'))
    assert [call[:2] for call in calls if isinstance(call, tuple)] == [
        (['train_dataloader'], []),
        (['val_dataloader'], ['val_evaluator']),
    ]


@pytest.mark.parametrize('classes', [('ball', 'fish'), None])
@pytest.mark.parametrize('kind', ['mmimg2vec.EvaluationDataset', 'CustomDataset'])
def test_validation_folders_have_the_classes_of_training(classes, kind):
    run = runner(_val_dataloader=dict(dataset=dict(type=kind)))
    share_classes(run, SimpleNamespace(metainfo=dict(classes=classes)))
    taken = kind.endswith('EvaluationDataset') and classes is not None
    assert run._val_dataloader['dataset'].get('classes') == (classes if taken else None)
    share_classes(runner(_val_dataloader=None), SimpleNamespace())  # there may be no validation, and no classes
