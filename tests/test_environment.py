import subprocess
import sys

import pytest

from mmimg2vec import UserError, environment
from mmimg2vec.version import WINDOWS


@pytest.mark.parametrize('version', ['0.9.1', '0.10.3', '1.0.0', '2.0'])
def test_version_outside_its_window_names_the_cure(version):
    low, high = WINDOWS['mmengine']
    with pytest.raises(UserError, match=rf'mmengine {version} does not fit.*pip install "onedl-mmengine>='):
        environment.check_window('mmengine', version, low, high)


@pytest.mark.parametrize('version', ['0.10.4', '0.10.7', '0.10.12'])
def test_version_inside_its_window(version):
    environment.check_window('mmengine', version, *WINDOWS['mmengine'])


def test_transformers_5_is_named_before_mmpretrain_dies_of_it(monkeypatch):
    monkeypatch.setattr(environment.metadata, 'version', lambda name: '5.1.0')
    with pytest.raises(UserError, match=r'transformers 5.1.0 does not fit.*pip install "transformers>=4'):
        environment.check_environment()


def test_missing_package_is_named_where_it_is_used():
    with pytest.raises(UserError, match=r'the detector needs the package no_such_package.*pip install nsp'):
        environment.require('no_such_package', 'the detector', 'nsp')


def run_python(code):
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)


def test_users_mistake_is_one_line_and_other_errors_keep_their_trace():
    code = 'import mmimg2vec\nraise mmimg2vec.UserError("no images\\n in data/x;  set data_root")'
    result = run_python(code)
    assert result.returncode == 1
    assert result.stderr.strip() == 'mmimg2vec: error: no images in data/x; set data_root'
    result = run_python('import mmimg2vec\nraise KeyError("x")')
    assert 'Traceback' in result.stderr and 'KeyError' in result.stderr


def test_import_is_cheap():
    code = 'import mmimg2vec, sys; print([m for m in ("torch.nn", "mmpretrain", "mmdet") if m in sys.modules])'
    assert 'mmpretrain' not in run_python(code).stdout
