"""A run that learns nothing says so once; one that learns says nothing."""

import logging

import pytest
from mmengine.logging import HistoryBuffer

from mmimg2vec.engine.hooks import CollapseHook
from mmimg2vec.errors import UserError


class Run:
    """What the hook asks of a runner, with made-up logs."""

    def __init__(self):
        self.iter, self.lines = 0, []
        self.message_hub = self
        self.log_scalars = {}
        self.logger = logging.Logger('run')
        self.logger.addHandler(
            type('Handler', (logging.Handler,), {'emit': lambda _, r: self.lines.append(r.getMessage())})()
        )

    def train(self, hook, steps, **quantities):
        for self.iter in range(steps):
            for key, value in quantities.items():
                self.log_scalars.setdefault(f'train/{key}', HistoryBuffer()).update(value(self.iter))
            hook.after_train_iter(self, self.iter)
        return self.lines


def good(**changes):
    falling = dict(
        loss=lambda step: 1 / (1 + step / 100), target_diversity=lambda step: 0.5, prediction_diversity=lambda step: 0.3
    )
    return {**falling, **changes}


@pytest.mark.parametrize(
    ('changes', 'word', 'step'),
    [
        ({}, None, None),
        (dict(target_diversity=lambda step: 0.002), 'target_diversity is 0.0020', 20),
        # at the beginning predictions are alike in every run
        (dict(prediction_diversity=lambda step: 0.0 if step < 60 else 0.3), None, None),
        (dict(prediction_diversity=lambda step: 0.3 if step < 150 else 0.0), 'prediction_diversity is 0.0000', 160),
        (dict(loss=lambda step: 1 + step % 2 / 100), 'nothing is being learned', 100),
    ],
)
def test_says_it_once(changes, word, step):
    lines = Run().train(CollapseHook(patience=100, window=20), 300, **good(**changes))
    assert len(lines) == (word is not None)
    if word:
        assert word in lines[0] and lines[0].startswith(f'step {step}: ')


@pytest.mark.parametrize(('patience', 'step'), [(60, 60), (61, 80), (62, 80), (80, 80)])
def test_patience_is_in_steps(patience, step):
    lines = Run().train(CollapseHook(patience=patience, window=20), 100, loss=lambda step: 1.0)
    assert [line.split(':')[0] for line in lines] == [f'step {step}']


def test_without_such_quantities():
    assert Run().train(CollapseHook(patience=20, window=10), 60, other=lambda step: 0.0) == []


def test_options():
    with pytest.raises(UserError, match='window=50 has to be between 1 and patience=10'):
        CollapseHook(patience=10)
