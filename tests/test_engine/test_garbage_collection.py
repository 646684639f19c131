import gc
from types import SimpleNamespace

import pytest
import toy
from mmengine.hooks import Hook

from mmimg2vec.engine.hooks import GarbageCollectionHook
from mmimg2vec.errors import UserError


class State(Hook):
    def __init__(self):
        self.enabled = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.enabled.append(gc.isenabled())


def test_garbage_is_collected_every_so_many_steps_and_at_no_other(images, tmp_path, monkeypatch):
    run = toy.runner_of(images, tmp_path / 'run', 3, [dict(type='mmimg2vec.GarbageCollectionHook', interval=4)])
    state, steps = State(), []
    run.register_hook(state)
    seen = SimpleNamespace(
        collect=lambda: steps.append(run.iter + 1), isenabled=gc.isenabled, disable=gc.disable, enable=gc.enable
    )
    monkeypatch.setattr('mmimg2vec.engine.hooks.garbage_collection.gc', seen)
    run.train()
    assert state.enabled == [False] * 9 and gc.isenabled()
    assert steps == [1, 4, 8]  # the first before training


def test_interval():
    with pytest.raises(UserError, match='interval=0 has to be 1 or more'):
        GarbageCollectionHook(0)
