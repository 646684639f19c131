import pytest
import toy


@pytest.fixture
def images(tmp_path):
    return toy.write_images(tmp_path / 'images')
