"""Run a command with its output in a log file, visible progress, and failures turned into one line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

from setup_steps.stacks import ROOT


class SetupError(Exception):
    """What is wrong and the cure, in one line."""


class CommandFailed(Exception):
    """A command ended with an error; ``output`` holds its last lines."""

    def __init__(self, output: str) -> None:
        super().__init__('command failed')
        self.output = output


_PROGRESS = (
    (re.compile(r'^\s*\[(\d+)/(\d+)\]'), 'compiled {0} of {1} files'),
    (re.compile(r'^Collecting (\S+)'), 'looking for {0}'),
    (re.compile(r'^\s*Downloading (\S+)'), 'downloading {0}'),
    (re.compile(r'^\s*Building wheel for (\S+)'), 'building {0}'),
    (re.compile(r'^Installing collected packages'), 'unpacking'),
)

# (pattern in a command's output, what is wrong and the cure); the first that matches speaks, so causes come
# before their consequences: pip reports a dead network as "No matching distribution found" too.
_CAUSES = (
    (
        r'No space left on device|Disk quota exceeded',
        'the disk is full: free some space and run again',
    ),
    (
        r'fatal error: Python\.h',
        "Python's C headers are missing: install them (Debian, Ubuntu: apt install python3-dev)",
    ),
    (
        r'Killed signal|signal 9|: Killed|out of memory|Cannot allocate memory',
        'the machine ran out of memory: run again with fewer compilers at a time (MAX_JOBS=1 make ...)',
    ),
    (
        r'CERTIFICATE_VERIFY_FAILED|SSLError',
        "the package index's certificate is not accepted: set PIP_CERT to your network's CA file",
    ),
    (
        r'NewConnectionError|ConnectionError|name resolution|Connection refused|Network is unreachable'
        r'|ProxyError|ConnectTimeout|Read timed out|Connection broken|Max retries exceeded',
        'the package index cannot be reached: check the network (or PIP_INDEX_URL, https_proxy) and run again',
    ),
    (
        r'No matching distribution found for (?P<what>\S+)',
        'no package index in use has {what} for this Python and machine: check PIP_INDEX_URL',
    ),
    (
        r'ResolutionImpossible|conflicting dependencies',
        'the pinned versions cannot be had together here: check PIP_CONSTRAINT, PIP_NO_INDEX and PIP_INDEX_URL',
    ),
    (
        r"error: command '\S+' failed|ninja: build stopped|unable to execute|: error: ",
        'a compiler failed: install a newer one (Debian, Ubuntu: apt install g++) and run again',
    ),
)


def explain(output: str) -> str:
    """Name the likely cause and the cure of a failed command from its last lines of output."""
    for pattern, cure in _CAUSES:
        match = re.search(pattern, output)
        if match:
            return cure.format(**match.groupdict())
    return 'the command failed'


def describe(line: str) -> str | None:
    """Say in a few words what a line of pip's or ninja's output reports, or None where it says nothing new."""
    for pattern, text in _PROGRESS:
        match = pattern.search(line)
        if match:
            return text.format(*match.groups())
    return None


def duration(seconds: float) -> str:
    """Write a duration as ``8 s`` or ``2 min 05 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f'{minutes} min {rest:02d} s' if minutes else f'{rest} s'


def clean_environment() -> dict[str, str]:
    """Return the environment without the settings that would lead pip, or Python, out of the virtual environment."""
    away = {'PIP_USER', 'PIP_TARGET', 'PIP_PREFIX', 'PYTHONPATH', 'PYTHONHOME', 'VIRTUAL_ENV'}
    return {name: value for name, value in os.environ.items() if name not in away}


class Console:
    """Prints numbered steps and runs their commands.

    Args:
        log: File that receives every command and all of its output.
        total: Number of steps.
        beat: Seconds between two signs of life where the output is no terminal.
    """

    def __init__(self, log: Path, total: int, beat: float = 30.0) -> None:
        self.log = log
        self.total = total
        self.beat = beat
        self.step_number = 0
        self.step_start = time.monotonic()
        self.terminal = sys.stdout.isatty()

    def step(self, title: str) -> None:
        """Announce the next step."""
        self.step_number += 1
        self.step_start = time.monotonic()
        self._line(f'[{self.step_number}/{self.total}] {title}')

    def done(self, remark: str = '') -> None:
        """Say how long the step took."""
        spent = duration(time.monotonic() - self.step_start)
        self._line(f'      done in {spent}{": " if remark else ""}{remark}')

    def note(self, text: str) -> None:
        """Print a remark."""
        self._line(f'      {text}')

    def run(self, command: list[str], **variables: str) -> str:
        """Run a command, its output going to the log, and show signs of life.

        Args:
            command: Program and arguments.
            **variables: Environment variables to set.

        Returns:
            The last lines of its output.

        Raises:
            CommandFailed: It ended with an error.
        """
        tail: deque[str] = deque(maxlen=400)
        state = {'doing': ''}
        with open(self.log, 'a', encoding='utf-8') as log:
            log.write(f'\n$ {" ".join(command)}\n')
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**clean_environment(), **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                # A group of its own, so that the compilers can be stopped with pip.
                start_new_session=True,
                text=True,
                errors='replace',
            )

            def read() -> None:
                for line in process.stdout:
                    log.write(line)
                    log.flush()
                    tail.append(line)
                    state['doing'] = describe(line) or state['doing']

            reader = threading.Thread(target=read, daemon=True)
            reader.start()
            self._wait(process, state)
            reader.join()
        if process.returncode:
            raise CommandFailed(''.join(tail))
        return ''.join(tail)

    def _wait(self, process: subprocess.Popen, state: dict[str, str]) -> None:
        beat = 1.0 if self.terminal else self.beat
        try:
            while True:
                try:
                    process.wait(beat)
                    break
                except subprocess.TimeoutExpired:
                    spent = duration(time.monotonic() - self.step_start)
                    text = f'      {spent}  {state["doing"]}'
                    end = '\r' if self.terminal else '\n'
                    print(f'{text:<78.78}', end=end, flush=True)
        finally:
            # An interrupted set-up leaves no build running behind it.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()

    def _line(self, text: str) -> None:
        print(f'{text:<78}' if self.terminal else text, flush=True)
        with open(self.log, 'a', encoding='utf-8') as log:
            log.write(text + '\n')
