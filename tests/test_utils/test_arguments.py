"""Which arguments a registered class takes, and what is left over when a type is changed."""

import mmpretrain  # noqa: F401  registers its parts
import pytest
from mmengine.config import Config

from mmimg2vec.utils.arguments import arguments_of, drop_left_over, find_class, near_classes


class Parent:
    def __init__(self, width, *, depth=1):
        pass


class Child(Parent):
    def __init__(self, heads, **kwargs):
        pass


class Silent(Child):
    """Has no ``__init__`` of its own."""


class Open:
    def __init__(self, one, *args, **kwargs):
        pass


@pytest.mark.parametrize(
    ('kind', 'names'),
    [
        (Parent, {'width', 'depth'}),
        (Child, {'heads', 'kwargs', 'width', 'depth'}),
        (Silent, {'heads', 'kwargs', 'width', 'depth'}),
        (Open, {'one'}),
        (lambda x: x, None),
        ('NoSuchClass', None),
    ],
)
def test_arguments(kind, names):
    found = arguments_of(kind)
    assert (found if found is None else found - {'kwargs'}) == (names if names is None else names - {'kwargs'})


def test_names_with_and_without_a_scope():
    assert find_class('mmpretrain.VisionTransformer') is find_class('VisionTransformer', 'mmpretrain')
    assert 'drop_path_rate' in arguments_of('mmpretrain.VisionTransformer')
    assert find_class('NoSuchClass') is None
    # whichever libraries with a class of that name were imported
    assert near_classes('mmpretrain.VisionTransfomer')[0] == 'mmpretrain.VisionTransformer'
    assert near_classes('VisionTransfomer', 1) == ['VisionTransformer']
    assert near_classes('Qqqqqqqqqq') == []


def config():
    return Config(
        dict(
            optimizer=dict(type='SGD', lr=0.1, momentum=0.9, nesterov=True),
            schedulers=[dict(type='LinearLR', start_factor=0.1), dict(type='CosineAnnealingLR', T_max=3, end=4)],
        )
    )


@pytest.mark.parametrize(
    ('options', 'dropped', 'where', 'left'),
    [
        ({'optimizer.type': 'AdamW'}, 'optimizer is a AdamW now, which takes no momentum, nesterov: left out',
         'optimizer', {'type', 'lr'}),
        ({'optimizer.type': 'SGD'}, None, 'optimizer', {'type', 'lr', 'momentum', 'nesterov'}),
        ({'optimizer.type': 'NoSuch'}, None, 'optimizer', {'type', 'lr', 'momentum', 'nesterov'}),
        # what the options set as well is the user's own mistake, and stays to be named
        ({'optimizer.type': 'AdamW', 'optimizer.momentum': 0.5},
         'optimizer is a AdamW now, which takes no nesterov: left out', 'optimizer', {'type', 'lr', 'momentum'}),
        ({'schedulers.1.type': 'ConstantLR'},
         'schedulers.1 is a ConstantLR now, which takes no T_max: left out', 'schedulers.1', {'type', 'end'}),
        ({'schedulers.2.type': 'ConstantLR'}, None, 'schedulers.1', {'type', 'T_max', 'end'}),
        ({'schedulers.one.type': 'ConstantLR'}, None, 'schedulers.1', {'type', 'T_max', 'end'}),
        ({'nowhere.type': 'ConstantLR'}, None, 'schedulers.1', {'type', 'T_max', 'end'}),
        ({'optimizer.lr': 1}, None, 'optimizer', {'type', 'lr', 'momentum', 'nesterov'}),
    ],
)  # fmt: skip
def test_what_a_change_of_type_leaves_over(options, dropped, where, left):
    cfg = config()
    assert drop_left_over(cfg, options) == ([] if dropped is None else [dropped])
    node = cfg.schedulers[1] if where == 'schedulers.1' else cfg.optimizer
    assert set(node) == left
