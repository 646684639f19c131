"""Where ``configs/...`` and ``tools/...`` are looked for."""

from pathlib import Path

import pytest

from mmimg2vec.errors import UserError
from mmimg2vec.utils import paths
from mmimg2vec.utils.config import load_config, near_configs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package in site-packages with its copy of one config, beside another's folder of tools."""
    package = tmp_path / 'site-packages' / 'mmimg2vec'
    for file in ('configs/a/one.py', 'tools/train.py'):
        (package / '.mim' / file).parent.mkdir(parents=True, exist_ok=True)
        (package / '.mim' / file).write_text('x = 1')
    (package.parent / 'tools').mkdir()
    (package.parent / 'tools' / 'train.py').write_text('')
    monkeypatch.setattr(paths, '_PACKAGE', package)
    work = tmp_path / 'work'
    work.mkdir()
    monkeypatch.chdir(work)
    return package / '.mim'


def test_a_checkout_has_its_own(tmp_path, monkeypatch):
    assert paths.shipped_folder('tools') == ROOT / 'tools'
    monkeypatch.chdir(tmp_path)
    assert paths.find_shipped('tools/train.py') == ROOT / 'tools' / 'train.py'


def test_an_installed_package_has_a_copy(installed):
    assert paths.find_shipped('tools/train.py') == installed / 'tools' / 'train.py'
    assert load_config('configs/a/one.py').x == 1


def test_the_current_folder_comes_first(installed):
    Path('configs/a').mkdir(parents=True)
    Path('configs/a/one.py').write_text('x = 2')
    assert paths.find_shipped('configs/a/one.py') == Path('configs/a/one.py')
    assert load_config('configs/a/one.py').x == 2
    assert near_configs('configs/a/ones.py') == ['configs/a/one.py']


def test_other_folders_are_nobodys_but_the_users(installed):
    assert paths.find_shipped('a/one.py') == Path('a/one.py')
    with pytest.raises(UserError, match=r'no config file configs/a/ones\.py; near: .*\.mim/configs/a/one\.py'):
        load_config('configs/a/ones.py')
