"""Chains of commands that need no training, for what a chain does around its stages."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from mmimg2vec.chain import Launch, read_chain, run_chain

ROOT = Path(__file__).resolve().parents[2]

# Appends its name to a file, sleeps, and ends with a status.
STEP = """
import sys, time
name, log, seconds, status = sys.argv[1:5]
open(log, 'a').write(name + ' starts\\n')
time.sleep(float(seconds))
open(log, 'a').write(name + ' ends\\n')
if int(status): print('mmimg2vec: error: no such data in /nowhere: name another folder')
sys.exit(int(status))
"""


class ToyChain:
    """Writes a chain config of such commands, and runs it in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / 'log.txt'
        self.config, self.work_dir = folder / 'toy.py', folder / 'work'
        (folder / 'step.py').write_text(STEP)

    def stage(self, name, seconds=0.0, status=0, **more):
        words = [str(self.folder / 'step.py'), name, str(self.log), str(seconds), str(status)]
        return dict(name=name, command=words, **more)

    def write(self, *stages, **more):
        values = dict(work_dir=str(self.work_dir), stages=list(stages), **more)
        self.config.write_text('\n'.join(f'{key} = {value!r}' for key, value in values.items()))

    def read(self, **more):
        return read_chain(str(self.config), **more)

    def run(self, only=(), redo=(), **more):
        lines = []
        chain = self.read(**more)
        failed = run_chain(chain, Launch(), only, redo, report=lines.append, report_every=0.1)
        return failed, lines

    def record(self, stage):
        return json.loads((self.work_dir / stage / 'stage.json').read_text())

    @property
    def logged(self):
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def python(self):
        return sys.executable


@pytest.fixture(autouse=True)
def only_own_processes_are_ended(monkeypatch, tmp_path):
    """A chain that took other processes for its own would end them all, the developer's among them."""
    monkeypatch.setenv('TOY_CHAIN_TEST', str(tmp_path))
    end, wanted = os.kill, f'TOY_CHAIN_TEST={tmp_path}'.encode()

    def kill(process, ending):
        assert wanted in Path(f'/proc/{process}/environ').read_bytes().split(b'\0'), f'{process} is not of this test'
        end(process, ending)

    monkeypatch.setattr(os, 'kill', kill)


@pytest.fixture
def toy(tmp_path):
    # A chain whose stages wait for one another for ever fails its test instead of never ending.
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail('the chain did not end'))
    signal.alarm(120)
    yield ToyChain(tmp_path)
    signal.alarm(0)
