import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='session', autouse=True)
def tools_on_path():
    """Make the set-up's modules importable, without letting tools/test.py hide anything."""
    sys.path.append(str(ROOT / 'tools'))
    yield
    sys.path.remove(str(ROOT / 'tools'))
