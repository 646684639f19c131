"""Run the stages of a chain: what is not finished, in order, each as a process of its own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock

from mmimg2vec.chain.commands import Launch, shell_line, stage_command
from mmimg2vec.chain.logs import failure_reason, progress
from mmimg2vec.chain.orphans import chain_variable, end_orphans
from mmimg2vec.chain.plan import Chain, Stage
from mmimg2vec.chain.records import (
    archive,
    check_interrupted,
    is_finished,
    read_seconds,
    record_start,
    write_record,
    write_seconds,
)
from mmimg2vec.errors import UserError

_PR_SET_PDEATHSIG = 1


class _RunningStage:
    """A stage that runs."""

    def __init__(self, chain: Chain, stage: Stage, launch: Launch) -> None:
        self.stage, self.folder = stage, chain.folder(stage)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.console = self.folder / 'console.log'
        # Before it starts: a config edited meanwhile is not what it runs with.
        self.settings = record_start(chain, stage)
        env, words = stage_command(chain, stage, launch)
        self.command = shell_line(env, words)
        with self.console.open('a') as log:
            log.write(f'$ {self.command}\n')
            log.flush()
            self.process = subprocess.Popen(
                words,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **_threads(chain.jobs), **env, **chain_variable(chain.work_dir)},
                preexec_fn=_die_with_parent,
            )
        self.before, self.start = read_seconds(self.folder), time.monotonic()
        self.recorded = 0.0

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.start

    def record_time(self, every: float = 5.0) -> None:
        if time.monotonic() - self.recorded >= every:
            self.recorded = time.monotonic()
            write_seconds(self.folder, self.seconds)


def _die_with_parent() -> None:
    # Without this, a chain that is killed leaves a stage behind that goes on writing where the next start resumes.
    # Linux's own call: psutil has none like it.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _threads(jobs: int) -> dict[str, str]:
    # Small networks use one core each better than all of them share all cores.
    if jobs == 1 or 'OMP_NUM_THREADS' in os.environ:
        return {}
    return {'OMP_NUM_THREADS': str(max(1, len(os.sched_getaffinity(0)) // jobs))}


def run_chain(
    chain: Chain,
    launch: Launch,
    only: tuple[str, ...] = (),
    redo: tuple[str, ...] = (),
    report: Callable[[str], None] = print,
    report_every: float = 20.0,
) -> list[str]:
    """Run what is not finished, each stage as soon as those that it needs are finished.

    A stage that fails is named at once; what does not need it goes on.

    Args:
        chain: The chain.
        launch: How stages are started.
        only: Names of the stages to run; all where empty. What they need has to be finished.
        redo: Names of the stages to begin again, with all that need them; what they wrote is kept under another name.
        report: Called with each line for the terminal.
        report_every: Seconds between two reports of the running stages.

    Returns:
        Names of the stages that failed, or were left out because one that they need failed.

    Raises:
        UserError: Another process runs this chain, a stage was begun or finished with other settings, or a stage that
            ``only`` leaves out is needed.
    """
    chosen = chain.select(only)
    for name in redo:
        chain[name]
    with _lock(chain.work_dir):
        if count := end_orphans(chain.work_dir):
            report(f'{count} processes of an earlier start were still there, and were ended')
        for name in redo:
            report(f'to be done again: {", ".join(archive(chain, name))}')
        finished, waiting = set(), []
        for stage in chain.stages:
            if is_finished(chain, stage):
                finished.add(stage.name)
                if stage in chosen:
                    report(f'[{stage.name}] finished before')
            elif stage in chosen:
                check_interrupted(chain, stage)
                waiting.append(stage)
        names = {stage.name for stage in waiting} | finished
        for stage in waiting:
            missing = [name for name in stage.needs if name not in names]
            if missing:
                raise UserError(f'stage {stage.name} needs {missing[0]}, which is not finished: name it in --only too')
        return _run(chain, waiting, finished, launch, report, report_every)


def _run(
    chain: Chain,
    waiting: list[Stage],
    finished: set[str],
    launch: Launch,
    report: Callable[[str], None],
    report_every: float,
) -> list[str]:
    running: list[_RunningStage] = []
    failed: set[str] = set()
    reported = time.monotonic()
    try:
        while waiting or running:
            for stage in list(waiting):
                if failed.intersection(stage.needs):
                    waiting.remove(stage)
                    failed.add(stage.name)
                    report(f'[{stage.name}] left out: it needs a stage that failed')
                elif finished.issuperset(stage.needs) and len(running) < chain.jobs:
                    waiting.remove(stage)
                    running.append(_RunningStage(chain, stage, launch))
                    report(f'[{stage.name}] {stage.title}: starts')
            for job in list(running):
                job.record_time()
                status = job.process.poll()
                if status is None:
                    continue
                running.remove(job)
                _end(job, status, finished, failed, report)
            if running and time.monotonic() - reported >= report_every:
                reported = time.monotonic()
                for job in running:
                    state = progress(job.console) or 'starting'
                    report(f'  [{job.stage.name}] {state} ({_minutes(job.seconds)})')
            time.sleep(0.2)
    finally:
        for job in running:
            job.process.terminate()
        for job in running:
            job.process.wait()
    return [stage.name for stage in chain.stages if stage.name in failed]


def _end(
    job: _RunningStage,
    status: int,
    finished: set[str],
    failed: set[str],
    report: Callable[[str], None],
) -> None:
    write_seconds(job.folder, job.seconds)
    if status == 0:
        write_record(job.folder, job.stage, job.settings, job.command)
        finished.add(job.stage.name)
        report(f'[{job.stage.name}] finished ({_minutes(job.seconds)})')
    else:
        failed.add(job.stage.name)
        how = f'status {status}' if status > 0 else signal.Signals(-status).name
        report(f'[{job.stage.name}] FAILED ({how}): {failure_reason(job.console)}; its log: {job.console}')


def _minutes(seconds: float) -> str:
    return f'{int(seconds) // 60}:{int(seconds) % 60:02d} min'


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder; the system ends it with this process, however that ends.

    Raises:
        UserError: Another process holds the folder, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / '.lock', timeout=0).acquire()
    except filelock.Timeout:
        raise UserError(
            f'another process runs the chain in {folder}: wait for it, or name another --work-dir'
        ) from None
    except OSError as error:
        raise UserError(f'{folder} cannot be the folder of a chain: {error}; name another --work-dir') from error
    with lock:
        yield
