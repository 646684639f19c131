"""Logging costs the same in the millionth step as in the first."""

import pickle
import time
from types import SimpleNamespace

import numpy as np
from mmengine.logging import HistoryBuffer, MessageHub

from mmimg2vec.engine.hooks import LogHistoryHook


def test_length_and_values():
    hub = MessageHub('test_length_and_values')
    hook = LogHistoryHook(length=30)
    for step in range(100):
        hook.before_train_iter(SimpleNamespace(message_hub=hub), step)
        hub.update_scalar('train/loss', float(step))
    values, counts = hub.get_scalar('train/loss').data
    assert np.array_equal(values, np.arange(70, 100)) and len(counts) == 30
    assert hub.get_scalar('train/loss').mean(10) == 94.5


def test_a_long_resumed_history_is_cut():
    """One of a million steps, as a run without the hook has left it."""
    hub = MessageHub('test_a_long_resumed_history_is_cut')
    hub.log_scalars['train/loss'] = HistoryBuffer(np.arange(1e6), np.ones(10**6))
    hook, seconds = LogHistoryHook(), []
    for step in range(200):
        start = time.perf_counter()
        hook.before_train_iter(SimpleNamespace(message_hub=hub), step)
        hub.update_scalar('train/loss', 0.5)
        seconds.append(time.perf_counter() - start)
    assert len(pickle.dumps(hub.get_scalar('train/loss').data)) < 50_000
    # The first step copies the million; those after it do not.
    assert np.median(seconds[1:]) < seconds[0] / 5
