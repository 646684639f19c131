#!/usr/bin/env python3
"""Make the environment that ``make demo``, ``make test`` and the others run in; ``--help`` says what else it does.

uv installs; what is there already stays, so an interrupted set-up continues. The log is ``setup.log`` beside the
environment's ``bin``. Python 3.6 must be able to read this file, so that it is answered with a sentence.
"""

import argparse
import ast
import hashlib
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# stack -> folder, requirements, constraints, name of mmcv, versions of Python (the tested one first), options of uv
STACKS = {
    'onedl': ('.venv', 'onedl.txt', 'constraints.txt', 'onedl-mmcv', ('3.11', '3.12', '3.10'), []),
    # mmdet's setup.py imports torch
    'classic': ('.venv-classic', 'classic.txt', 'classic-constraints.txt', 'mmcv', ('3.10',), ['--no-build-isolation']),
}
# A change of any of these makes the set-up run again.
INPUTS = ('requirements/*.txt', 'setup.py', 'pyproject.toml', 'mmimg2vec/version.py', '.dev_scripts/setup_env.py')
DEMO = ('numpy', 'scipy', 'torch', 'torchvision', 'cv2', 'matplotlib', 'mmengine', 'mmcv', 'mmpretrain.models')
TEST = ('pytest', 'ruff', 'mypy', 'importlinter')
ALL = (*DEMO, *TEST, 'mmcv.ops', 'mmdet', 'mmseg', 'mim')
VERSION = 'import sys; print("%d.%d" % sys.version_info[:2])'
# Calls one operator: an mmcv without operators, or with some compiled for another torch, fails here.
OPERATORS = 'import torch; from mmcv.ops import nms; nms(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([0.9]), 0.5)'
# setting of pip -> that of uv, which does not read pip's
SETTINGS = {'index-url': 'UV_DEFAULT_INDEX', 'extra-index-url': 'UV_INDEX', 'find-links': 'UV_FIND_LINKS'}
SETTINGS.update({'no-index': 'UV_NO_INDEX', 'cert': 'SSL_CERT_FILE', 'constraint': 'UV_CONSTRAINT'})
SETTINGS.update({'trusted-host': 'UV_INSECURE_HOST', 'proxy': 'ALL_PROXY', 'default-timeout': 'UV_HTTP_TIMEOUT'})
# These would lead pip, uv or Python out of the environment.
AWAY = ('PIP_USER', 'PIP_TARGET', 'PIP_PREFIX', 'PYTHONPATH', 'PYTHONHOME', 'VIRTUAL_ENV', 'UV_SYSTEM_PYTHON')
# (pattern in a command's output, cause and cure); the first that matches speaks, so causes come before consequences.
CAUSES = (
    (r'No space left|os error 28|Disk quota', 'the disk is full: free some space (7 GB) and run again'),
    (r'Python\.h: No such', "Python's C headers are missing: install them (Debian, Ubuntu: apt install python3-dev)"),
    (r'Killed|signal 9|out of memory', 'the machine ran out of memory: run again with MAX_JOBS=1 make ...'),
    (r'(?i)invalid peer cert|CERTIFICATE_VERIFY', "the package index's certificate is not accepted: set PIP_CERT"),
    (
        r'error sending request|dns error|(?i:connection ?(refused|error))|after \d+ retries|Max retries',
        'the package index cannot be reached: check the network (or PIP_INDEX_URL, https_proxy) and run again',
    ),
    (r'cause: (Because [^\n]+)', 'the pinned versions cannot be had here (check PIP_INDEX_URL, PIP_CONSTRAINT): {}'),
    (
        r"(?:command '\S+' failed|ninja: build stopped|: '(?:c|g)\+\+')",
        'a compiler failed or is missing: install one (Debian, Ubuntu: apt install g++), or point PIP_FIND_LINKS at a '
        'folder with a wheel of mmcv',
    ),
    (r'ensurepip', 'this Python makes no environments: install its venv (Debian, Ubuntu: apt install python3-venv)'),
)


class SetupError(Exception):
    """What is wrong, and the cure where it is known, in one line."""


def ask(python, *arguments):
    """Return what a Python prints, '' where it fails or is none: a pyenv shim may exist and not run."""
    try:
        ran = subprocess.run([str(python), *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return ''
    return '' if ran.returncode else ran.stdout.decode().strip()


def find_python(stack, given=None):
    """Return the first Python that the stack's packages exist for; ``given`` alone, where the user names one."""
    wanted = STACKS[stack][4]
    found = [sys.executable]
    for version in wanted:
        found += [str(Path(folder, 'python' + version)) for folder in os.environ.get('PATH', '').split(os.pathsep)]
        pyenv = Path(os.environ.get('PYENV_ROOT') or Path.home() / '.pyenv')
        found += sorted(map(str, pyenv.glob(f'versions/{version}.*/bin/python3')), reverse=True)
    versions = [(python, ask(python, '-c', VERSION)) for python in ([given] if given else found)]
    for python, version in versions:
        if version in wanted:
            return python
    needs = f'but this needs Python {" or ".join(sorted(wanted))}'
    if given:
        raise SetupError(f'BASE_PYTHON={given} {"is Python " + version if version else "does not run"}, {needs}')
    raise SetupError(f'this is Python {versions[0][1]}, {needs}: name one with BASE_PYTHON=/path/to/python')


def uv_settings(python):
    """Return pip's settings, from its files and its environment variables, as environment variables of uv."""
    lines = ask(python, '-m', 'pip', 'config', 'list').splitlines()
    settings = {'UV_INDEX_STRATEGY': 'unsafe-best-match'}  # all indexes count alike, as they do for pip
    for section in ('global.', 'install.', ':env:.'):  # the later wins
        for name, _, value in (line[len(section) :].partition('=') for line in lines if line.startswith(section)):
            if name in SETTINGS:
                separator = ',' if name == 'find-links' else ' '
                settings[SETTINGS[name]] = separator.join(str(ast.literal_eval(value)).split())
    return {name: value for name, value in settings.items() if name not in os.environ}


def explain(output):
    """Name the likely cause, and the cure, of a failed command; its last line where the cause is not known."""
    for pattern, cure in CAUSES:
        match = re.search(pattern, output)
        if match:
            return cure.format(*match.groups())
    return (output.strip().splitlines() or ['a command failed'])[-1]


def run(log, *command, **variables):
    """Run a command, its output into the log file, its progress onto the screen; a SetupError names its failure."""
    environment = {name: value for name, value in {**os.environ, **variables}.items() if name not in AWAY}
    streams = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT}
    output = ''
    with open(str(log), 'a') as file, subprocess.Popen(
        [str(part) for part in command], cwd=str(ROOT), env=environment, start_new_session=True, **streams
    ) as process:  # fmt: skip
        try:
            for line in (raw.decode(errors='replace') for raw in process.stdout):
                file.write(line)
                file.flush()
                output = output[-40000:] + line
                line = re.sub(r'\s*\[(\d+)/(\d+)\].*', r'Building file \1 of \2', line)
                if re.match(r'\s*(Downloading|Building|Resolved|Installed) ', line):
                    print('  ', line.strip(), flush=True)
        except BaseException:  # an interrupted set-up leaves no build running behind it
            os.killpg(process.pid, signal.SIGTERM)
            raise
    if process.returncode:
        raise SetupError(explain(output))


def install(stack, venv, base=None):
    """Run all steps; each leaves alone what is there already. ``base`` is the Python to make the environment from."""
    _, requirements, constraints, mmcv, _, options = STACKS[stack]
    python, log, pins = venv / 'bin' / 'python', venv / 'setup.log', ROOT / 'requirements' / constraints
    print(f'Setting up {venv.name} (minutes, a quarter of an hour where mmcv is compiled; log: {log})', flush=True)
    if base:
        venv.mkdir()
        run(log, base, '-m', 'venv', venv)
    run(log, python, '-m', 'pip', 'install', '-q', '-c', pins, 'uv')
    settings = uv_settings(python)

    def uv(*arguments):
        print('uv pip install', *arguments, flush=True)
        run(log, python, '-m', 'uv', 'pip', 'install', '--python', python, '-c', pins, *arguments, **settings)

    uv('-r', 'requirements/build.txt', 'torch', 'torchvision', 'numpy')
    uv('-r', f'requirements/{requirements}', *options)
    try:
        uv('--no-deps', '--only-binary', mmcv, mmcv)
        run(log, python, '-I', '-c', OPERATORS)
    except SetupError:
        print(f'no wheel of {mmcv} works here: compiling it (about 12 minutes on two cores)', flush=True)
        build = ('install', '-v', '--no-deps', '--no-build-isolation', '--force-reinstall', '--no-binary', mmcv, mmcv)
        run(log, python, '-m', 'pip', *build, '-c', pins, MMCV_WITH_OPS='1')
        run(log, python, '-I', '-c', OPERATORS)
    uv('--no-deps', '--no-build-isolation', '-e', '.')
    link = next((venv / 'lib').glob('python3.*')) / 'site-packages' / 'mmimg2vec'
    if stack == 'classic' and not link.is_symlink():  # openmim knows no editable installations
        link.symlink_to(ROOT / 'mmimg2vec')
    run(log, python, __file__, '--check', '--for', 'all')


def set_up(stack, given=None):
    """Make the environment of a stack complete; one that was moved, or is damaged, is made anew."""
    venv = ROOT / STACKS[stack][0]
    python, stamp = venv / 'bin' / 'python', venv / 'setup.stamp'
    digest = hashlib.sha256(f'{stack} {venv} '.encode())
    for path in sorted(path for pattern in INPUTS for path in ROOT.glob(pattern)):
        digest.update(path.name.encode() + path.read_bytes())
    version = ask(python, '-c', VERSION)
    if given and version and version != ask(find_python(stack, given), '-c', VERSION):
        raise SetupError(f'{venv.name} is Python {version}: delete it and run again, or leave BASE_PYTHON out')
    names = {name.partition('.')[0] for name in ALL}
    there = ask(python, '-I', '-c', f'import importlib.util as u; print(all(map(u.find_spec, {names})))') == 'True'
    if there and stamp.exists() and stamp.read_text() == digest.hexdigest():
        print(f'{venv.name} is ready.')
        return
    activate = venv / 'bin' / 'activate'
    if not (version and activate.exists() and str(venv) in activate.read_text()):
        base = find_python(stack, given)  # before anything is removed
        shutil.rmtree(str(venv), ignore_errors=True)
        install(stack, venv, base)
    else:
        try:
            install(stack, venv)
        except SetupError as error:
            if any(str(error).startswith(cure[:20]) for _, cure in CAUSES):
                raise
            print(f'{venv.name} is damaged ({error}): making it anew', flush=True)
            shutil.rmtree(str(venv))
            install(stack, venv, find_python(stack, given))
    stamp.write_text(digest.hexdigest())


def look(purpose):
    """Import what a purpose needs and print the versions; a SetupError names what is missing, why, and the cure."""
    if sys.version_info < (3, 10):  # noqa: UP036
        raise SetupError(f'this is Python {ask(sys.executable, "-c", VERSION)}, but this needs 3.10 or newer')
    sys.path.insert(0, str(ROOT))
    failed = {}
    names = {'demo': DEMO, 'test': DEMO + TEST, 'all': ALL}[purpose]
    for name in (*names, 'mmimg2vec'):
        try:
            importlib.import_module(name)
        except Exception as error:  # a broken installation raises anything
            failed[name] = ' '.join(str(error).split())
    if failed:
        name, reason = next(iter(failed.items()))
        cure = f'{sys.executable} -m pip install -r requirements/onedl.txt -c requirements/constraints.txt'
        raise SetupError(f'{sys.executable} cannot import {", ".join(failed)} ({name}: {reason}); run: {cure}')
    modules = [sys.modules[name] for name in ('torch', 'mmengine', 'mmcv', 'mmpretrain', 'mmimg2vec')]
    print('works:', ', '.join(f'{module.__name__} {module.__version__}' for module in modules))
    if shutil.which('nvidia-smi') and not sys.modules['torch'].cuda.is_available():
        print('note: there seems to be a GPU, but torch cannot use it: update its driver')


def resolve(stack):
    """Ask the package index whether the pinned versions of a stack go together, for each of its Pythons."""
    for version in sorted(STACKS[stack][4]):
        files = ['-c', f'requirements/{STACKS[stack][2]}', 'requirements/build.txt', f'requirements/{STACKS[stack][1]}']
        command = (sys.executable, '-m', 'uv', 'pip', 'compile', '-q', '--python-version', version, '-o', os.devnull)
        run(os.devnull, *command, *files, **uv_settings(sys.executable))
        print(f'Python {version}: the pinned versions go together', flush=True)


def main():
    """Parse the command line; print a failure as one line and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--stack', choices=sorted(STACKS), default='onedl')
    parser.add_argument('--base-python', help='the Python to make the environment from')
    parser.add_argument('--check', action='store_true', help='install nothing: has this Python all that it takes?')
    parser.add_argument('--resolve', action='store_true', help='only ask whether the pinned versions go together')
    parser.add_argument('--for', dest='purpose', choices=['demo', 'test', 'all'], default='demo')
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if args.check:
            look(args.purpose)
        else:
            resolve(args.stack) if args.resolve else set_up(args.stack, args.base_python)
    except SetupError as error:
        print(f'set-up: error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nset-up: interrupted; the same command continues it', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
