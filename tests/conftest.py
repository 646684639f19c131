"""What every test leaves as it found it."""

import os
from unittest import mock

import pytest


@pytest.fixture(autouse=True)
def environment():
    """Undo what a test or the code under test writes to `os.environ`; tests that follow in this process read it."""
    with mock.patch.dict(os.environ):
        yield
