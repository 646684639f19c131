"""The set-up's decisions, without network: which Python, what pip's settings mean, what a failure is called."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import setup_env
from setup_env import SetupError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / '.dev_scripts' / 'setup_env.py'


def fake_python(folder: Path, name: str, version: str | None) -> Path:
    """Write a program that answers the question for its version, or, with None, fails as a pyenv shim does."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    answer = f'echo {version}' if version else 'echo "pyenv: command not found" >&2; exit 127'
    path.write_text(f'#!/bin/sh\n{answer}\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def only_fakes(monkeypatch, tmp_path):
    """Hide the machine's own interpreters: PATH as given, no pyenv, and this Python answers with another version."""

    def hide(*folders: Path, this: str = '3.8') -> None:
        monkeypatch.setattr(sys, 'executable', str(fake_python(tmp_path / 'own', 'python3', this)))
        monkeypatch.setenv('PATH', os.pathsep.join([*map(str, folders), '/bin', '/usr/bin']))
        monkeypatch.setattr(setup_env, 'STACKS', {'only': (None, None, None, None, ('3.77',), [])})
        monkeypatch.setenv('PYENV_ROOT', str(tmp_path / 'pyenv'))

    return hide


def test_a_fitting_interpreter_is_taken_as_it_is(only_fakes):
    only_fakes(this='3.77')
    assert setup_env.find_python('only') == sys.executable


def test_another_one_on_the_path_is_found_behind_a_broken_shim(only_fakes, tmp_path):
    fake_python(tmp_path / 'shims', 'python3.77', None)
    good = fake_python(tmp_path / 'bin', 'python3.77', '3.77')
    only_fakes(tmp_path / 'shims', tmp_path / 'bin')
    assert setup_env.find_python('only') == str(good)


def test_pyenv_versions_are_found(only_fakes, tmp_path):
    folder = tmp_path / 'pyenv' / 'versions' / '3.77.13'
    folder.mkdir(parents=True)
    good = fake_python(folder / 'bin', 'python3', '3.77')
    only_fakes()
    assert setup_env.find_python('only') == str(good)


def test_none_that_fits_is_one_line_with_the_cure(only_fakes, tmp_path):
    fake_python(tmp_path / 'bin', 'python3.77', None)
    only_fakes(tmp_path / 'bin')
    with pytest.raises(SetupError, match=r'^this is Python 3\.8, but this needs Python 3\.77: .*BASE_PYTHON=.*$'):
        setup_env.find_python('only')


def test_a_named_interpreter_is_the_only_one_tried(tmp_path):
    old = fake_python(tmp_path, 'python3.9', '3.9')
    with pytest.raises(SetupError, match=r'is Python 3\.9, but this needs Python 3\.10 or 3\.11 or 3\.12'):
        setup_env.find_python('onedl', str(old))
    with pytest.raises(SetupError, match='does not run'):
        setup_env.find_python('onedl', str(tmp_path / 'missing'))


def test_an_old_python_can_read_the_script():
    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))


def test_the_script_answers_in_one_line():
    command = [sys.executable, str(SCRIPT), '--base-python', '/nonexistent/python']
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith('set-up: error: BASE_PYTHON=/nonexistent/python does not run')
    assert result.stderr.count('\n') == 1


@pytest.fixture
def checkout(monkeypatch, tmp_path):
    """A checkout with the inputs only, and a set-up that writes down what it would install instead of doing it."""
    installed = []

    def install(stack, venv, base=None):
        installed.append(base)
        (venv / 'bin').mkdir(parents=True, exist_ok=True)
        (venv / 'bin' / 'activate').write_text(f'VIRTUAL_ENV={venv}')
        python = venv / 'bin' / 'python'
        python.unlink(missing_ok=True)
        # answers whether all is there, and for its version
        python.write_text('#!/bin/sh\ncase "$*" in *find_spec*) echo True;; *) echo 3.11;; esac\n')
        python.chmod(0o755)

    (tmp_path / 'requirements').mkdir()
    (tmp_path / 'requirements' / 'constraints.txt').write_text('numpy==1')
    monkeypatch.setattr(setup_env, 'ROOT', tmp_path)
    monkeypatch.setattr(setup_env, 'install', install)
    monkeypatch.setattr(setup_env, 'find_python', lambda stack, given=None: given or 'a python')
    return tmp_path, installed


def test_what_is_ready_is_left_alone_until_an_input_changes(checkout, capsys):
    root, installed = checkout
    setup_env.set_up('onedl')
    setup_env.set_up('onedl')
    assert installed == ['a python']
    assert capsys.readouterr().out == '.venv is ready.\n'
    (root / 'README.md').write_text('no input')
    setup_env.set_up('onedl')
    assert installed == ['a python']
    (root / 'requirements' / 'constraints.txt').write_text('numpy==2')
    setup_env.set_up('onedl')
    assert installed == ['a python', None]  # into the environment that is there


def test_an_interrupted_set_up_continues(checkout):
    root, installed = checkout
    setup_env.set_up('onedl')
    (root / '.venv' / 'setup.stamp').unlink()
    setup_env.set_up('onedl')
    assert installed == ['a python', None]


@pytest.mark.parametrize('fault', ['moved', 'without its Python'])
def test_an_environment_that_cannot_run_is_made_anew(checkout, fault):
    root, installed = checkout
    setup_env.set_up('onedl')
    if fault == 'moved':
        (root / '.venv' / 'bin' / 'activate').write_text('VIRTUAL_ENV=/somewhere/else')
        (root / '.venv' / 'setup.stamp').unlink()
    else:
        (root / '.venv' / 'bin' / 'python').unlink()
    (root / '.venv' / 'rest').write_text('')
    setup_env.set_up('onedl')
    assert installed == ['a python', 'a python']
    assert not (root / '.venv' / 'rest').exists()


@pytest.mark.parametrize(
    ('message', 'anew'), [('a module is missing', True), ('the disk is full: free some space', False)]
)
def test_only_a_damaged_environment_is_made_anew(checkout, monkeypatch, message, anew):
    root, installed = checkout
    setup_env.set_up('onedl')
    (root / '.venv' / 'setup.stamp').unlink()
    works = setup_env.install

    def fail_once(stack, venv, base=None):
        if base is None:
            raise SetupError(message)
        works(stack, venv, base)

    monkeypatch.setattr(setup_env, 'install', fail_once)
    if anew:
        setup_env.set_up('onedl')
        assert installed == ['a python', 'a python']
    else:
        with pytest.raises(SetupError, match=message):
            setup_env.set_up('onedl')
        assert installed == ['a python']


def test_an_environment_of_another_python_is_kept_and_named(checkout):
    root, _ = checkout
    setup_env.set_up('onedl')
    other = fake_python(root / 'other', 'python', '3.12')
    with pytest.raises(SetupError, match=r'\.venv is Python 3\.11: delete it'):
        setup_env.set_up('onedl', str(other))
    assert (root / '.venv' / 'bin' / 'python').exists()


def test_the_settings_of_pip_are_handed_to_uv(monkeypatch, tmp_path):
    (tmp_path / 'pip.conf').write_text(
        '[global]\nindex-url = https://a.test/simple\nextra-index-url = https://b.test/x\n  https://c.test/y\n'
        'find-links = /from/the/file\n'
    )
    for name in [name for name in os.environ if name.startswith(('PIP_', 'UV_'))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv('PIP_CONFIG_FILE', str(tmp_path / 'pip.conf'))
    monkeypatch.setenv('PIP_FIND_LINKS', 'wheels more')
    monkeypatch.setenv('UV_HTTP_TIMEOUT', '7')
    monkeypatch.setenv('PIP_DEFAULT_TIMEOUT', '180')
    settings = setup_env.uv_settings(sys.executable)
    # the environment's word counts more than the file's, and uv's own more than pip's
    assert settings['UV_FIND_LINKS'] == 'wheels,more'
    assert settings['UV_DEFAULT_INDEX'] == 'https://a.test/simple'
    assert settings['UV_INDEX'] == 'https://b.test/x https://c.test/y'
    assert settings['UV_INDEX_STRATEGY'] == 'unsafe-best-match'
    assert 'UV_HTTP_TIMEOUT' not in settings


@pytest.mark.parametrize(
    ('output', 'cure'),
    [
        ('error: failed to copy file\n  cause: No space left on device (os error 28)', 'the disk is full'),
        ('x.cpp:1:10: fatal error: Python.h: No such file', 'apt install python3-dev'),
        ('c++: fatal error: Killed signal terminated program cc1plus', 'MAX_JOBS=1'),
        (
            'error: Failed to fetch: https://a.test/simple/torch/\n  cause: error sending request for url\n'
            '  cause: tcp connect error\n  cause: Connection refused (os error 111)',
            'the package index cannot be reached',
        ),
        (
            'error: No solution found when resolving dependencies\n'
            '  cause: Because there is no version of torch==99 and you require torch==99, we can conclude that ...\n',
            'the pinned versions cannot be had here (check PIP_INDEX_URL, PIP_CONSTRAINT): Because there is no version '
            'of torch==99',
        ),
        ("error: command '/usr/bin/g++' failed with exit code 1", 'apt install g++'),
        ('something\nnew\n', 'new'),
    ],
)
def test_failures_are_named_by_their_cause(output, cure):
    text = setup_env.explain(output)
    assert cure in text
    assert '\n' not in text


def test_commands_go_to_the_log_and_show_each_compiled_file(tmp_path, capsys):
    log = tmp_path / 'setup.log'
    setup_env.run(log, sys.executable, '-c', 'print("[3/78] c++ -c a.cpp"); print("Downloading torch (506.0MiB)")')
    assert capsys.readouterr().out.split('\n') == ['   Building file 3 of 78', '   Downloading torch (506.0MiB)', '']
    assert 'c++ -c a.cpp' in log.read_text()
    with pytest.raises(SetupError, match='it broke'):
        setup_env.run(log, sys.executable, '-c', 'raise SystemExit("it broke")')


def test_settings_that_lead_out_of_the_environment_are_dropped(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv('PIP_USER', '1')
    code = 'import os; print("Downloading", os.environ.get("PIP_USER"), os.environ["MMCV_WITH_OPS"])'
    setup_env.run(tmp_path / 'log', sys.executable, '-c', code, MMCV_WITH_OPS='1')
    assert capsys.readouterr().out == '   Downloading None 1\n'


def test_an_environment_of_the_users_own_is_only_looked_at(monkeypatch):
    monkeypatch.setattr(setup_env, 'DEMO', ('json', 'no_such_module'))
    with pytest.raises(SetupError, match=r'cannot import no_such_module \(.*; run: .*pip install'):
        setup_env.look('demo')


@pytest.mark.parametrize('name', ['constraints.txt', 'classic-constraints.txt'])
def test_every_constraint_is_an_exact_pin_and_given_once_per_python(name):
    from packaging.requirements import Requirement

    versions = ('3.10', '3.11', '3.12') if name == 'constraints.txt' else ('3.10',)
    lines = (ROOT / 'requirements' / name).read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith('#')]
    assert all(str(pin.specifier).startswith('==') for pin in pins)
    for version in versions:
        environment = {'python_version': version}
        names = [pin.name for pin in pins if pin.marker is None or pin.marker.evaluate(environment)]
        assert len(names) == len(set(names))
        assert {'torch', 'torchvision', 'numpy', 'setuptools', 'pip'} <= set(names)
    # torch pins the NVIDIA packages that it needs itself
    assert not any(pin.name.startswith(('nvidia', 'cuda', 'triton')) for pin in pins)
