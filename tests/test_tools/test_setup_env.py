"""The set-up's decisions, without network: which Python, what is stale, what a failure is called."""

import dataclasses
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / '.dev_scripts' / 'setup_env.py'


@pytest.fixture
def setup_env():
    return importlib.import_module('setup_env')


@pytest.fixture
def commands():
    return importlib.import_module('setup_steps.commands')


@pytest.fixture
def stacks():
    return importlib.import_module('setup_steps.stacks')


@pytest.fixture
def install():
    return importlib.import_module('setup_steps.install')


@pytest.fixture
def checks():
    return importlib.import_module('setup_steps.checks')


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
    """Hide the machine's own interpreters: an empty PATH, no pyenv, and this Python is one that does not fit."""

    def hide(*folders: Path, this: tuple[int, int] = (3, 8)) -> None:
        monkeypatch.setenv('PATH', os.pathsep.join(map(str, folders)) or str(tmp_path / 'none'))
        monkeypatch.setenv('PYENV_ROOT', str(tmp_path / 'pyenv'))
        monkeypatch.setattr(sys, 'version_info', (*this, 0))

    return hide


def test_a_fitting_interpreter_is_taken_as_it_is(setup_env, only_fakes):
    only_fakes(this=(3, 12))
    assert setup_env.find_python('onedl') == (sys.executable, '')


def test_another_one_on_the_path_is_found_behind_a_broken_shim(setup_env, only_fakes, tmp_path):
    fake_python(tmp_path / 'shims', 'python3.10', None)
    good = fake_python(tmp_path / 'bin', 'python3.10', '3.10')
    only_fakes(tmp_path / 'shims', tmp_path / 'bin', this=(3, 11))
    assert setup_env.find_python('classic') == (str(good), '')


def test_pyenv_versions_are_found(setup_env, only_fakes, tmp_path):
    folder = tmp_path / 'pyenv' / 'versions' / '3.10.13'
    folder.mkdir(parents=True)
    good = fake_python(folder / 'bin', 'python3', '3.10')
    only_fakes()
    assert setup_env.find_python('classic') == (str(good), '')


def test_none_that_fits_is_one_line_with_the_cure(setup_env, only_fakes, tmp_path):
    fake_python(tmp_path / 'bin', 'python3.10', None)
    only_fakes(tmp_path / 'bin')
    python, problem = setup_env.find_python('classic')
    assert python is None
    assert 'no Python 3.10 found (this is Python 3.8)' in problem
    assert 'BASE_PYTHON=' in problem
    assert '\n' not in problem


def test_a_named_interpreter_is_the_only_one_tried(setup_env, tmp_path):
    old = fake_python(tmp_path, 'python3.9', '3.9')
    python, problem = setup_env.find_python('onedl', str(old))
    assert python is None
    assert 'is Python 3.9, but this needs Python 3.10 or 3.11 or 3.12' in problem
    assert 'does not run' in setup_env.find_python('onedl', str(tmp_path / 'missing'))[1]


def test_the_entry_script_has_no_syntax_that_an_old_python_lacks():
    import ast

    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 4))
    assert not any(isinstance(node, ast.JoinedStr) for node in ast.walk(tree))


def test_the_entry_script_answers_in_one_line():
    result = subprocess.run(
        [sys.executable, str(SCRIPT), '--base-python', '/nonexistent/python'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.startswith('set-up: error: BASE_PYTHON=/nonexistent/python does not run')
    assert result.stderr.count('\n') == 1


def make_checkout(root: Path) -> None:
    for name in ('requirements', 'mmimg2vec', '.dev_scripts/setup_steps'):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in (
        'requirements/constraints.txt',
        'setup.py',
        'pyproject.toml',
        'mmimg2vec/version.py',
        '.dev_scripts/setup_steps/stacks.py',
    ):
        (root / name).write_text(name)


def test_the_hash_depends_on_the_inputs_the_stack_and_the_place(stacks, tmp_path):
    here, there = tmp_path / 'here', tmp_path / 'there'
    make_checkout(here)
    make_checkout(there)
    onedl, classic = stacks.STACKS['onedl'], stacks.STACKS['classic']
    first = stacks.input_hash(onedl, here)
    assert first == stacks.input_hash(onedl, here)
    assert first != stacks.input_hash(classic, here)
    assert first != stacks.input_hash(onedl, there)
    (here / 'README.md').write_text('no input')
    assert first == stacks.input_hash(onedl, here)
    (here / 'requirements' / 'constraints.txt').write_text('numpy==2')
    assert first != stacks.input_hash(onedl, here)


def test_a_stamp_counts_only_while_the_interpreter_is_there(stacks, install, tmp_path):
    stack = dataclasses.replace(stacks.STACKS['onedl'], folder=str(tmp_path / 'venv'))
    stamp = stack.venv / 'setup.stamp'
    assert not install.is_ready(stack, stamp)
    (stack.venv / 'bin').mkdir(parents=True)
    stamp.write_text(stacks.input_hash(stack) + '\n')
    assert not install.is_ready(stack, stamp)
    stack.python.write_text('')
    assert install.is_ready(stack, stamp)
    stamp.write_text('another')
    assert not install.is_ready(stack, stamp)


def make_environment(stack, activate: str, version: str) -> None:
    (stack.venv / 'bin').mkdir(parents=True)
    (stack.venv / 'bin' / 'activate').write_text(activate)
    (stack.venv / 'pyvenv.cfg').write_text(f'home = /usr/bin\nversion = {version}\n')
    stack.python.write_text('')


def test_a_moved_environment_is_made_anew(stacks, install, tmp_path):
    stack = dataclasses.replace(stacks.STACKS['onedl'], folder=str(tmp_path / 'venv'))
    make_environment(stack, 'VIRTUAL_ENV=/somewhere/else', '3.11.2')
    install.prepare_folder(stack)
    assert list(stack.venv.iterdir()) == []


def test_an_environment_of_another_python_is_kept_and_named(stacks, install, commands, tmp_path):
    stack = dataclasses.replace(stacks.STACKS['onedl'], folder=str(tmp_path / 'venv'))
    make_environment(stack, f'VIRTUAL_ENV={tmp_path / "venv"}', '3.7.1')
    with pytest.raises(commands.SetupError, match=r'is Python 3\.7, the set-up was started with'):
        install.prepare_folder(stack)
    assert stack.python.exists()


@pytest.mark.parametrize(
    ('output', 'cure'),
    [
        ('OSError: [Errno 28] No space left on device', 'the disk is full'),
        ('x.cpp:1:10: fatal error: Python.h: No such file', 'apt install python3-dev'),
        ('c++: fatal error: Killed signal terminated program cc1plus', 'MAX_JOBS=1'),
        (
            'NewConnectionError(...)\nERROR: No matching distribution found for torch==2.11.0',
            'the package index cannot be reached',
        ),
        ('ERROR: No matching distribution found for torch==2.11.0', 'has torch==2.11.0 for this'),
        ("error: command '/usr/bin/g++' failed with exit code 1", 'apt install g++'),
        ('something new', 'the command failed'),
    ],
)
def test_failures_are_named_by_their_cause(commands, output, cure):
    text = commands.explain(output)
    assert cure in text
    assert '\n' not in text


def test_too_little_disk_space_is_one_line(checks, commands, tmp_path):
    with pytest.raises(commands.SetupError, match='the set-up needs 1e'):
        checks.check_disk(1e9, tmp_path)
    checks.check_disk(0.0, tmp_path)


def test_a_missing_compiler_is_one_line(checks, commands, monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(commands.SetupError, match=r'no C\+\+ compiler.*apt install g\+\+'):
        checks.check_compiler()


def test_commands_go_to_the_log_and_show_progress(commands, tmp_path, capsys):
    log = tmp_path / 'setup.log'
    console = commands.Console(log, total=1, beat=0.2)
    console.step('compile')
    program = 'import time; print("[3/78] c++ -c a.cpp", flush=True); time.sleep(0.7)'
    assert '[3/78]' in console.run([sys.executable, '-c', program])
    console.done()
    assert 'compiled 3 of 78 files' in capsys.readouterr().out
    assert 'c++ -c a.cpp' in log.read_text()
    with pytest.raises(commands.CommandFailed) as failure:
        console.run([sys.executable, '-c', 'raise SystemExit("it broke")'])
    assert 'it broke' in failure.value.output


def test_settings_that_lead_out_of_the_environment_are_dropped(commands, monkeypatch):
    monkeypatch.setenv('PIP_USER', '1')
    monkeypatch.setenv('PIP_FIND_LINKS', 'wheels more')
    environment = commands.clean_environment()
    assert 'PIP_USER' not in environment
    assert environment['PIP_FIND_LINKS'] == 'wheels more'


def test_an_environment_of_the_users_own_is_only_looked_at():
    check = importlib.import_module('setup_steps.check')
    problem = check.missing({'json': 'json', 'no_such_module': 'its-distribution'})
    assert 'cannot import no_such_module' in problem
    assert problem.endswith('pip install its-distribution')
    assert check.missing({'json': 'json'}) == ''


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
