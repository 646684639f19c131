#!/usr/bin/env python3
"""Set up the virtual environment that ``make demo``, ``make test`` and the others run in.

    python3 .dev_scripts/setup_env.py [--stack onedl|classic] [--base-python PYTHON]
    python3 .dev_scripts/setup_env.py --check [--for demo|test]

The second form installs nothing: it says whether the Python it is started with has all that is needed.

This file finds a Python that fits and hands over to ``setup_steps``. It is written for any Python 3, so that one that
is too old is answered with a sentence; only the standard library is used, since nothing is installed yet.
"""
# An old Python must be able to read this file.
# ruff: noqa: UP031, UP036, SIM108, RUF005

import argparse
import glob
import os
import subprocess
import sys

# stack -> versions of Python that its pinned packages exist for, the tested one first
PYTHONS = {'onedl': ((3, 11), (3, 12), (3, 10)), 'classic': ((3, 10),)}
_ASK_VERSION = 'import sys; print("%d.%d" % sys.version_info[:2])'


def python_version(python):
    """Return ``(major, minor)`` of an interpreter, or None where it does not run (a pyenv shim may exist and fail)."""
    try:
        process = subprocess.Popen([python, '-c', _ASK_VERSION], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        output = process.communicate()[0].decode().split('.')
        return (int(output[0]), int(output[1])) if process.returncode == 0 else None
    except (OSError, ValueError, IndexError):
        return None


def candidates(versions):
    """List the interpreters to try: this one, those on PATH (behind a broken shim too), those of pyenv."""
    names = ['python%d.%d' % version for version in versions]
    found = [sys.executable]
    for name in names:
        for folder in os.environ.get('PATH', '').split(os.pathsep):
            found.append(os.path.join(folder, name))
    pyenv = os.environ.get('PYENV_ROOT') or os.path.expanduser('~/.pyenv')
    for version in versions:
        pattern = os.path.join(pyenv, 'versions', '%d.%d.*' % version, 'bin', 'python3')
        found += sorted(glob.glob(pattern), reverse=True)
    return [python for python in found if python and os.access(python, os.X_OK)]


def find_python(stack, given=None):
    """Find an interpreter that the stack's packages exist for.

    Args:
        stack: ``'onedl'`` or ``'classic'``.
        given: The interpreter that the user names; no other is tried then.

    Returns:
        A pair of its path (None where there is none) and the sentence that says why there is none.
    """
    versions = PYTHONS[stack]
    wanted = ' or '.join('%d.%d' % version for version in sorted(versions))
    if given:
        version = python_version(given)
        if version in versions:
            return given, ''
        state = 'is Python %d.%d' % version if version else 'does not run'
        return None, 'BASE_PYTHON=%s %s, but this needs Python %s' % (given, state, wanted)
    for python in candidates(versions):
        if python == sys.executable:
            version = sys.version_info[:2]
        else:
            version = python_version(python)
        if version in versions:
            return python, ''
    return None, (
        'no Python %s found (this is Python %d.%d): install one and run again, '
        'or name it: make ... BASE_PYTHON=/path/to/python' % ((wanted,) + sys.version_info[:2])
    )


def main():
    """Parse the command line, find a Python, and run the steps with it."""
    parser = argparse.ArgumentParser(description='Set up, or check, the Python environment.')
    parser.add_argument('--stack', choices=sorted(PYTHONS), default='onedl')
    parser.add_argument('--base-python', help='the Python to make the environment from')
    parser.add_argument('--strict', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--check', action='store_true', help='only check this Python')
    parser.add_argument('--for', dest='purpose', choices=['demo', 'test'], default='demo')
    args = parser.parse_args()

    if args.check:
        if sys.version_info[:2] < (3, 10):
            return fail('PYTHON is Python %d.%d, but this needs 3.10 or newer' % sys.version_info[:2])
        from setup_steps.check import check_imports

        return check_imports(args.purpose)

    python, problem = find_python(args.stack, args.base_python)
    if python is None:
        return fail(problem)
    if python != sys.executable:
        command = [python, os.path.abspath(__file__), '--stack', args.stack]
        return subprocess.call(command + (['--strict'] if args.base_python else []))
    from setup_steps.install import set_up

    return set_up(args.stack, strict=bool(args.base_python) or args.strict)


def fail(problem):
    """Print the one line that a user reads, and return the exit status."""
    sys.stderr.write('set-up: error: %s\n' % problem)
    return 1


if __name__ == '__main__':
    sys.exit(main())
