import pytest
import torch
from shrink import TinyFiles


@pytest.fixture(scope='session')
def tiny_files(tmp_path_factory):
    return TinyFiles(tmp_path_factory.mktemp('tiny_files'))


@pytest.fixture
def quick_start(monkeypatch):
    """Spare the seconds that a runner spends on what goes into its log only."""
    torch.set_num_threads(1)
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    monkeypatch.setattr('mmengine.config.Config.pretty_text', '')
