"""A full disk costs lines of the log, not the run."""

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmimg2vec.registry import VISBACKENDS


@pytest.fixture
def backend(tmp_path):
    backend = VISBACKENDS.build(dict(type='mmimg2vec.TolerantVisBackend', save_dir=str(tmp_path), patience=3))
    backend.add_config(Config({}))
    return backend


def test_what_can_be_written_is(backend, tmp_path):
    backend.add_scalars({'loss': 1.5}, step=3)
    backend.add_scalar('lr', 0.1, step=3)
    backend.add_image('features', np.zeros((4, 4, 3), np.uint8), step=1)
    text = (tmp_path / 'scalars.json').read_text()
    assert '"loss": 1.5' in text and '"lr": 0.1' in text
    assert len(list((tmp_path / 'vis_image').iterdir())) == 1


def test_a_full_disk_is_named_now_and_then(backend, monkeypatch):
    lines = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'error', lines.append)

    def fail(*args, **kwargs):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(backend, '_dump', fail)
    for step in range(7):
        backend.add_scalars({'loss': 1.0}, step=step)
    assert len(lines) == 3 and 'No space left on device' in lines[0] and 'training goes on' in lines[0]
