import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import toy


@pytest.fixture
def images(tmp_path):
    return toy.write_images(tmp_path / 'images')
