import subprocess
import sys
from pathlib import Path

import pytest

import mmimg2vec
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
    result = run_python('import mmimg2vec, sys; print({"mmpretrain", "mmdet", "mmseg"} & set(sys.modules))')
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == 'set()'


# What is heavy and not ours is imported once; each module of the package then in a copy of that process.
IMPORT_EACH_BY_ITSELF = """
import importlib, os, sys, traceback
for name in ('mmcv.ops', 'mmpretrain.models', 'mmdet.models', 'mmseg.models', 'timm', 'matplotlib.pyplot'):
    importlib.import_module(name)
assert not any(name.startswith('mmimg2vec') for name in sys.modules)
for name in sys.argv[1:]:
    process = os.fork()
    if process == 0:
        try:
            importlib.import_module(name)
        except BaseException:
            print(name, traceback.format_exc(), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if os.waitpid(process, 0)[1]:
        print('fails by itself:', name, flush=True)
print('all were tried')
"""


def test_every_module_can_be_imported_by_itself():
    files = sorted(Path(mmimg2vec.__file__).parent.rglob('*.py'))
    root = Path(mmimg2vec.__file__).parents[1]
    names = ['.'.join(file.relative_to(root).with_suffix('').parts) for file in files if '.mim' not in file.parts]
    names = [name.removesuffix('.__init__') for name in names]
    assert len(names) > 100
    result = subprocess.run(
        [sys.executable, '-c', IMPORT_EACH_BY_ITSELF, *names], capture_output=True, text=True, cwd=root
    )
    assert result.returncode == 0, result.stderr
    assert 'all were tried' in result.stdout
    failed = [line for line in result.stdout.splitlines() if line.startswith('fails by itself')]
    assert not failed, result.stderr
