import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / 'tools'))
sys.path.append(str(Path(__file__).resolve().parent))

from shrink import TinyFiles


@pytest.fixture(scope='session')
def tiny_files(tmp_path_factory):
    return TinyFiles(tmp_path_factory.mktemp('tiny_files'))
