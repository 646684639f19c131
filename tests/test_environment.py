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


def test_the_process_is_left_alone_where_that_is_asked_for(tmp_path, monkeypatch):
    code = f"""
import sys, torch
before = sys.excepthook
import mmimg2vec
from mmengine.runner import CheckpointLoader
from mmimg2vec.checkpoint.sources import load_checkpoint
print(sys.excepthook is before)
print(any(x.__module__.startswith('mmimg2vec') for x in CheckpointLoader._schemes.values()))
torch.save({{'w': torch.ones(1)}}, {str(tmp_path / 'a.pth')!r})
print(list(load_checkpoint({str(tmp_path / 'a.pth')!r})))
"""
    assert run_python(code).stdout.split('\n')[:3] == ['False', 'True', "['w']"]
    monkeypatch.setenv('MMIMG2VEC_PATCH', '0')
    assert run_python(code).stdout.split('\n')[:3] == ['True', 'False', "['w']"]
