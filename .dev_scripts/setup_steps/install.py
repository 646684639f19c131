"""The steps: virtual environment, torch, the rest, mmcv with operators, the package itself, a last look.

Each step leaves alone what is there already, so an interrupted set-up continues where it stopped; a stamp in the
environment holds a hash of all inputs and makes the next call return at once.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from setup_steps.checks import check_compiler, check_disk, has_gpu
from setup_steps.commands import CommandFailed, Console, SetupError, clean_environment, explain
from setup_steps.stacks import ROOT, STACKS, Stack, input_hash

_PIP = ('-m', 'pip', '--disable-pip-version-check', '--no-input')

# Calls one operator: an mmcv without operators, or with some that were compiled for another torch, fails here.
_PROBE_OPERATORS = (
    'import torch; from mmcv.ops import nms; nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([0.9]), 0.5)'
)

_VERIFY = """
import json, torch, torchvision, mmengine, mmcv.ops, mmpretrain, mmpretrain.models, mmdet, mmseg, mmimg2vec, mim
modules = (torch, torchvision, mmengine, mmcv, mmpretrain, mmdet, mmseg, mmimg2vec)
versions = ', '.join(module.__name__ + ' ' + module.__version__ for module in modules)
print(json.dumps(dict(versions=versions, cuda=torch.cuda.is_available())))
"""


def set_up(stack_name: str, strict: bool = False) -> int:
    """Make the environment of a stack complete; return the exit status.

    Args:
        stack_name: Key of ``STACKS``.
        strict: The user named this Python: an environment of another one will not do, however ready it is.
    """
    stack = STACKS[stack_name]
    stamp = stack.venv / 'setup.stamp'
    if not strict and is_ready(stack, stamp):
        print(f'{stack.folder} is ready.')
        return 0
    log = stack.venv / 'setup.log'
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        prepare_folder(stack)
        if is_ready(stack, stamp):
            print(f'{stack.folder} is ready.')
            return 0
        with open(stack.venv / 'setup.lock', 'w') as lock:
            _acquire(lock, stack)
            install(stack, log)
            stamp.write_text(input_hash(stack) + '\n')
    except SetupError as error:
        place = f' (details: {log.relative_to(ROOT)})' if log.exists() else ''
        print(f'set-up: error: {error}{place}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nset-up: interrupted; the same command continues it', file=sys.stderr)
        return 130
    return 0


def is_ready(stack: Stack, stamp: Path) -> bool:
    """Whether the stamp says that the environment was made from the present inputs, in this place."""
    return stack.python.exists() and stamp.exists() and stamp.read_text().strip() == input_hash(stack)


def prepare_folder(stack: Stack) -> None:
    """Remove an environment that cannot be used any more: moved here from elsewhere, or its Python gone.

    Raises:
        SetupError: Its Python is not one that the stack is made for.
    """
    activate = stack.venv / 'bin' / 'activate'
    if activate.exists():
        moved = str(stack.venv) not in activate.read_text()
        if moved or not stack.python.exists():
            print(f'{stack.folder} was moved, or its Python is gone: making it anew')
            shutil.rmtree(stack.venv)
        elif environment_version(stack.venv) != f'{sys.version_info[0]}.{sys.version_info[1]}':
            raise SetupError(
                f'{stack.folder} is Python {environment_version(stack.venv)}, the set-up was started with '
                f'{sys.version_info[0]}.{sys.version_info[1]}: delete {stack.folder} and run again, or name its '
                'Python (make ... BASE_PYTHON=...)'
            )
    stack.venv.mkdir(exist_ok=True)


def environment_version(venv: Path) -> str:
    """Read ``major.minor`` of a virtual environment's Python from its ``pyvenv.cfg``."""
    for line in (venv / 'pyvenv.cfg').read_text().splitlines():
        name, _, value = line.partition('=')
        if name.strip() in ('version', 'version_info'):
            return '.'.join(value.strip().split('.')[:2])
    return 'unknown'


def install(stack: Stack, log: Path) -> None:
    """Run all steps.

    Raises:
        SetupError: A step failed.
    """
    console = Console(log, total=6)
    print(f'Setting up {stack.folder} (a quarter of an hour at most; log: {stack.folder}/{log.name})')

    console.step('virtual environment')
    if not (stack.venv / 'bin' / 'pip').exists():
        check_disk(stack.disk_gb, stack.venv)
        make_venv(console, stack)
    pip(console, stack, 'install', '-r', 'requirements/build.txt')
    console.done()

    console.step('torch and torchvision (3 GB to download)')
    if not imports(stack, 'import torch'):
        check_disk(stack.disk_gb, stack.venv)
    pip(console, stack, 'install', 'torch', 'torchvision', 'numpy')
    console.done()

    console.step('OpenMMLab and everything else')
    isolation = () if stack.build_isolation else ('--no-build-isolation',)
    pip(console, stack, 'install', *isolation, '-r', stack.requirements)
    console.done()

    # After the rest: mmcv itself is installed without its dependencies, and could not be tried before.
    console.step('mmcv with operators')
    console.done(install_mmcv(console, stack))

    console.step('mmimg2vec itself, in editable form')
    pip(console, stack, 'install', '--no-deps', '--no-build-isolation', '-e', '.')
    if stack.link_package:
        link_package(stack)
    console.done()

    console.step('a look at what was installed')
    console.done(verify(console, stack))


def make_venv(console: Console, stack: Stack) -> None:
    """Create the virtual environment, with pip in it.

    Raises:
        SetupError: Neither ``venv`` nor ``pip`` of this Python can do it.
    """
    try:
        console.run([sys.executable, '-m', 'venv', str(stack.venv)])
    except CommandFailed:
        # Debian's and Ubuntu's Python comes without ensurepip: let its pip put another one into the environment.
        site = stack.venv / 'lib' / f'python{sys.version_info[0]}.{sys.version_info[1]}' / 'site-packages'
        try:
            console.run([sys.executable, '-m', 'venv', '--without-pip', str(stack.venv)])
            console.run([sys.executable, *_PIP, 'install', '--target', str(site), 'pip'])
        except CommandFailed as error:
            raise SetupError(
                'no virtual environment can be made with this Python: install its venv module '
                '(Debian, Ubuntu: apt install python3-venv) and run again'
            ) from error


def pip(console: Console, stack: Stack, *arguments: str, **variables: str) -> None:
    """Run the environment's pip under the stack's constraints.

    Raises:
        SetupError: It failed; names the likely cause.
    """
    try:
        _pip(console, stack, *arguments, **variables)
    except CommandFailed as error:
        raise SetupError(explain(error.output)) from error


def install_mmcv(console: Console, stack: Stack) -> str:
    """Install mmcv with operators: a wheel where pip finds one that works with this torch, else the source build.

    Returns:
        Which of the two it was.

    Raises:
        SetupError: It cannot be compiled, or the compiled one has no operators either.
    """
    common = ('install', '--no-deps', '--no-build-isolation', stack.mmcv)
    try:
        _pip(console, stack, *common, '--only-binary', stack.mmcv)
        if works(console, stack, _PROBE_OPERATORS):
            return 'operators work'
        console.note('the mmcv found does not work with this torch')
    except CommandFailed:
        console.note('no wheel of mmcv for this Python and torch')
    check_compiler()
    console.note(f'compiling mmcv (about {stack.compile_minutes} minutes on two cores)')
    # -v: the compiler's "[n/m]" lines are the sign of life.
    pip(
        console, stack, '-v', *common, '--no-binary', stack.mmcv, '--force-reinstall', MMCV_WITH_OPS='1'
    )  # fmt: skip
    if not works(console, stack, _PROBE_OPERATORS):
        raise SetupError(
            'mmcv was compiled but its operators cannot be used: check CXX, CUDA_HOME and FORCE_CUDA, '
            f'delete {stack.folder} and run again'
        )
    return 'compiled'


def link_package(stack: Stack) -> None:
    """Link the package into the environment, where openmim looks for it: it knows no editable installations."""
    site = next((stack.venv / 'lib').glob('python3.*')) / 'site-packages'
    link = site / 'mmimg2vec'
    if not link.is_symlink():
        link.symlink_to(ROOT / 'mmimg2vec')


def verify(console: Console, stack: Stack) -> str:
    """Import everything and return the versions.

    Raises:
        SetupError: An import failed; names it.
    """
    try:
        output = console.run([str(stack.python), '-I', '-c', _VERIFY])
    except CommandFailed as error:
        last = error.output.strip().splitlines()[-1]
        raise SetupError(f'what was installed does not work ({last}): delete {stack.folder} and run again') from error
    found = json.loads(output.strip().splitlines()[-1])
    if not found['cuda'] and has_gpu():
        console.note('this machine has a GPU, but torch cannot use it: update its driver')
    return found['versions']


def works(console: Console, stack: Stack, code: str) -> bool:
    """Whether the environment's Python runs ``code``; what it says goes to the log."""
    try:
        console.run([str(stack.python), '-I', '-c', code])
    except CommandFailed:
        return False
    return True


def imports(stack: Stack, code: str) -> bool:
    """Whether the environment's Python runs ``code``, quietly."""
    process = subprocess.run(
        [str(stack.python), '-I', '-c', code],
        capture_output=True,
        env=clean_environment(),
        check=False,
    )
    return process.returncode == 0


def _pip(console: Console, stack: Stack, *arguments: str, **variables: str) -> None:
    console.run([str(stack.python), *_PIP, *arguments, '-c', stack.constraints], **variables)


def _acquire(lock, stack: Stack) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SetupError(f'another set-up of {stack.folder} is running: wait for its end and run again') from None
