#!/usr/bin/env python3
"""Kill, signal, starve and poison real training runs; print a table of what is promised and what held.

    python .dev_scripts/torture.py [--kills 50] [--rank-kills 10] [--only NAME ...] [--json FILE]

Each trial starts ``tools/train.py`` on a few drawn images (a process of its own, real files, real signals), does the
harm, starts the run again where that is the promise, and compares the final weights and moments, bit by bit, with those
of a run that nothing happened to. The harm is a function of ``--seed``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
PREEMPTED = 75
# 28 images in batches of 2: 14 steps an epoch, which 3 steps an update do not divide.
CONFIG = """
_base_ = ['{root}/configs/demo/mff_vit-tiny-p8_1xb128-coslr-8e_shapes.py']
model = dict(backbone=dict(arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)),
             fusion=dict(blocks=(0, 1)), neck=dict(embed_dims=16, num_heads=2, depth=1))
train_dataloader = dict(batch_size={batch}, num_workers={workers}, persistent_workers={persistent}, dataset=dict(
    dataset=dict(data_root='{images}')))
_base_.train_dataloader.dataset.dataset.pipeline[3].masks_per_image = {masks}
train_cfg = dict(max_epochs=4)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, end=4, convert_to_iter_based=True)]
optim_wrapper = dict(accumulative_counts=3)
default_hooks = dict(checkpoint=dict(steps=3, asynchronous={asynchronous}), logger=dict(interval=1))
auto_scale_lr = dict(enable=False)
custom_imports = dict(imports=['mmimg2vec', 'poison'])
custom_hooks = [dict(type='mmimg2vec.RunFolderHook'), dict(type='mmimg2vec.ResumeGuardHook'),
                dict(type='mmimg2vec.SeededStepHook'), dict(type='mmimg2vec.FiniteGuardHook'),
                dict(type='mmimg2vec.PreemptionHook'), dict(type='mmimg2vec.LogHistoryHook'),
                dict(type='mmimg2vec.BackboneExportHook'), dict(type='PoisonHook')]
"""
# Name; images per process, workers, masks per image, whether checkpoints are written in a thread.
CONFIGS = (
    ('one', 2, 0, 1, False),
    ('workers', 2, 2, 1, False),
    ('masks', 2, 0, 4, False),
    ('masks_workers', 2, 2, 4, True),
    ('two', 1, 0, 1, False),
    ('two_masks', 1, 0, 4, True),
)
# Slows the steps down, so that harm can be timed, and spoils images where it is told to.
POISON = """
import os, time
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class PoisonHook(Hook):
    priority = 'VERY_HIGH'
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        time.sleep(float(os.environ.get('STEP_SECONDS', 0)))
        if f'{runner.iter}@{get_rank()}' in os.environ.get('POISON', '').split(','):
            data_batch['inputs'] = data_batch['inputs'].float() * float('nan')
"""


class Runs:
    """Starts training runs on a few drawn images.

    Args:
        folder: Folder of everything.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        draw = [sys.executable, str(ROOT / 'tools/dataset_converters/shapes.py'), '--out', str(folder / 'shapes')]
        subprocess.run([*draw, '--scenes', '24', '--val-scenes', '4'], check=True, capture_output=True)
        images = folder / 'images'
        images.mkdir()
        for path in sorted((folder / 'shapes/imagenet/train').rglob('*.*'))[:28]:
            shutil.copy(path, images / f'{path.parent.name}_{path.name}')
        (folder / 'poison.py').write_text(POISON)
        for name, batch, workers, masks, asynchronous in CONFIGS:
            settings = dict(
                batch=batch, workers=workers, persistent=workers > 0, masks=masks, asynchronous=asynchronous
            )
            (folder / f'{name}.py').write_text(CONFIG.format(root=ROOT, images=images, **settings))

    def start(self, config: str, name: str, *options: str, processes: int = 1, **env: str) -> subprocess.Popen:
        """Start a run in the folder ``name``; its output goes to ``name.log``."""
        words = [str(self.folder / f'{config}.py'), *([str(processes)] if processes > 1 else [])]
        tool = (
            ['bash', str(ROOT / 'tools/dist_train.sh')]
            if processes > 1
            else [sys.executable, str(ROOT / 'tools/train.py')]
        )
        path = os.pathsep.join([str(self.folder), str(ROOT), os.environ.get('PYTHONPATH', '')])
        variables = {**os.environ, 'PYTHONPATH': path, 'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1', **env}
        variables['CUDA_VISIBLE_DEVICES'] = ''
        with (self.folder / f'{name}.log').open('a') as log:
            return subprocess.Popen(
                [*tool, *words, '--work-dir', str(self.folder / name), *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=variables,
                cwd=self.folder,
                start_new_session=True,
            )

    def run(self, *args: str, **kwargs: Any) -> int:
        """Start a run and wait for its end; returns the exit status."""
        return self.start(*args, **kwargs).wait(timeout=600)

    def weights(self, name: str) -> list[torch.Tensor]:
        """Weights and the optimizer's moments at the end of a run."""
        state = torch.load(self.folder / name / 'epoch_4.pth', weights_only=True)
        return [*state['state_dict'].values(), *(v for s in state['optimizer']['state'].values() for v in s.values())]

    def same(self, first: str, second: str) -> bool:
        """Whether two runs ended alike, bit by bit."""
        pairs = zip(self.weights(first), self.weights(second), strict=True)
        return all(torch.equal(a, b) for a, b in pairs)

    def steps(self, name: str) -> int:
        """Steps that the log of a run's last attempt names."""
        logs = sorted((self.folder / name).glob('*/vis_data/scalars.json'))
        lines = [json.loads(line) for line in logs[-1].read_text().splitlines() if line.endswith('}')] if logs else []
        return max((line.get('step', 0) for line in lines), default=0)

    def saved(self, name: str) -> int:
        """Steps behind the newest whole checkpoint."""
        from mmimg2vec.checkpoint.newest import newest_checkpoint

        path = newest_checkpoint(self.folder / name)
        return 0 if path is None else torch.load(path, weights_only=True)['meta']['iter']

    def wait_for_step(self, name: str, step: int, process: subprocess.Popen) -> None:
        """Wait until the run has logged a step, or has ended."""
        deadline = time.monotonic() + 300
        while process.poll() is None and self.steps(name) < step and time.monotonic() < deadline:
            time.sleep(0.05)


def processes_of(process: subprocess.Popen) -> list[psutil.Process]:
    """The process and all below it."""
    try:
        top = psutil.Process(process.pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def ranks_of(process: subprocess.Popen) -> list[psutil.Process]:
    """The training processes of a launcher, by their rank."""
    found = {}
    for each in processes_of(process):
        try:
            env, words = each.environ(), each.cmdline()
        except psutil.Error:
            continue
        if 'RANK' in env and any(word.endswith('train.py') for word in words):
            found.setdefault(int(env['RANK']), each)
    return [found[rank] for rank in sorted(found)]


@contextmanager
def gone_afterwards(process: subprocess.Popen) -> Iterator[Callable[[], int]]:
    """Count, when asked, which of the processes that are there now still live; end them when the block ends."""
    family = processes_of(process)
    try:
        yield lambda: sum(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in family)
    finally:
        for each in family:
            if each.is_running():
                each.kill()
        psutil.wait_procs(family, timeout=30)  # what they hold goes with them


def kills(runs: Runs, count: int, rng: random.Random) -> tuple[int, int, str]:
    """SIGKILL at random moments, saves included, until ``count`` kills have been spread over runs to their ends."""
    for config in ('one', 'masks'):
        runs.run(config, f'whole_{config}')
    done = held = lost = trials = 0
    while done < count:
        name, config = f'killed_{trials}', ('one', 'masks_workers', 'workers', 'masks')[trials % 4]
        trials += 1
        for _ in range(min(5, count - done)):
            process = runs.start(config, name, '--resume', STEP_SECONDS='0.02')
            before = runs.saved(name) if (runs.folder / name).exists() else 0
            runs.wait_for_step(name, min(before + rng.randint(1, 9), 55), process)
            time.sleep(rng.uniform(0, 0.12))
            if process.poll() is not None:
                break
            for each in processes_of(process):
                each.kill()
            process.wait()
            lost = max(lost, runs.steps(name) - runs.saved(name))
            done += 1
        alone = config.replace('workers', '').strip('_') or 'one'  # to the end without workers
        runs.run(alone, name, '--resume')
        held += runs.same(name, f'whole_{alone}')
        print(f'{done} kills: {held} of {trials} runs held', file=sys.stderr)
    return held, trials, f'{done} kills in {trials} runs; at most {lost} steps lost, a checkpoint every 3'


def rank_kills(runs: Runs, count: int, rng: random.Random) -> tuple[int, int, str]:
    """SIGKILL of one process of two."""
    configs = ('two', 'two_masks')[: max(count, 1)]
    for config in configs:
        runs.run(config, f'pair_{config}', processes=2)
    held = 0
    for index in range(count):
        name, config = f'pair_{index}', configs[index % len(configs)]
        process = runs.start(config, name, '--resume', processes=2, STEP_SECONDS='0.02')
        runs.wait_for_step(name, rng.randint(2, 40), process)
        with gone_afterwards(process) as alive:
            rank = index // 2 % 2
            for each in ranks_of(process)[rank : rank + 1]:
                each.kill()
            process.wait(timeout=120)
            left = alive()
        runs.run(config, name, '--resume', processes=2)
        held += runs.same(name, f'pair_{config}') and not left
        print(f'{index + 1} kills of a process of two: {held} held', file=sys.stderr)
    return held, count, 'the launcher ends, no process is left, the next start ends alike'


def signals(runs: Runs, count: int, rng: random.Random) -> tuple[int, int, str]:
    """SIGTERM and SIGUSR1 to the process, to the launcher, to one process of two."""
    for config, name, processes in (('one', 'whole_one', 1), ('two', 'pair_two', 2)):
        if not (runs.folder / name / 'epoch_4.pth').exists():
            runs.run(config, name, processes=processes)
    held, trials, late = 0, 0, 0
    for target in ('process', 'launcher', 'one rank'):
        for number in (signal.SIGTERM, signal.SIGUSR1):
            trials += 1
            processes = 1 if target == 'process' else 2
            config, whole = ('one', 'whole_one') if processes == 1 else ('two', 'pair_two')
            name = f'{target}_{number.name}'.replace(' ', '_')
            process = runs.start(config, name, '--resume', processes=processes, STEP_SECONDS='0.2')
            runs.wait_for_step(name, 7, process)
            with gone_afterwards(process) as alive:
                at = runs.steps(name)
                (ranks_of(process)[1] if target == 'one rank' else process).send_signal(number)
                status = process.wait(timeout=120)
                time.sleep(0.5)
                left = alive()
            late = max(late, runs.saved(name) - at)
            runs.run(config, name, '--resume', processes=processes)
            good = status == PREEMPTED and not left and runs.same(name, whole)
            held += good
            if not good:
                print(f'{target}, {number.name}: status {status}, {left} processes left', file=sys.stderr)
    return (
        held,
        trials,
        f'status 75, nothing left, the next start ends alike; saved at most {late} steps after the signal',
    )


def poison(runs: Runs, count: int, rng: random.Random) -> tuple[int, int, str]:
    """NaN images: once, in one process of two, and in every step."""
    held = 0
    runs.run('two', 'poisoned', processes=2, POISON='7@1')
    lines = [json.loads(line) for line in (runs.folder / 'poisoned/skipped_updates.jsonl').read_text().splitlines()]
    named = {line['process']: line for line in lines}
    held += set(named) == {0, 1} and all(x.isfinite().all() for x in runs.weights('poisoned') if x.is_floating_point())
    held += len(named.get(1, {}).get('images', [])) == 3
    status = runs.run('one', 'nan', POISON=','.join(f'{step}@0' for step in range(20, 56)))
    folder = runs.folder / 'nan'
    kept = [torch.load(path, weights_only=True)['state_dict'] for path in folder.glob('*.pth')]
    good = all(value.isfinite().all() for state in kept for value in state.values() if value.is_floating_point())
    held += status not in (0, PREEMPTED) and runs.saved('nan') > 0 and good
    dumps = list(folder.glob('nonfinite_iter_*.pth'))
    held += len(dumps) == 1 and not (folder / 'backbone.pth').exists()
    status = runs.run('one', 'again', '--reproduce', str(dumps[0]), POISON=f'{dumps[0].stem.split("_")[-1]}@0')
    held += status == 0 and 'first output that is not finite' in (runs.folder / 'again.log').read_text()
    return held, 5, 'left out alike, listed by path; five in a row end the run with good checkpoints; reproduced'


def full_disk(runs: Runs, count: int, rng: random.Random) -> tuple[int, int, str]:
    """No file may grow beyond some bytes: checkpoints fail, logs do not."""
    runs.run('one', 'small', '--cfg-options', 'train_cfg.max_epochs=1')
    size = (runs.folder / 'small/epoch_1.pth').stat().st_size
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limit[1]))
    try:
        process = runs.start('one', 'full')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    status = process.wait(timeout=300)
    text = (runs.folder / 'full.log').read_text()
    held = (
        (status not in (0, PREEMPTED))
        + ('3 checkpoints in a row' in text)
        + (not list((runs.folder / 'full').glob('*.pth*')))
    )
    return held, 3, 'three failures in a row end the run in one line, nothing half is left'


TRIALS = {'kills': kills, 'rank-kills': rank_kills, 'signals': signals, 'poison': poison, 'full-disk': full_disk}


def main() -> None:
    """Run the trials and print the table; exit status 1 where a promise was not kept."""
    parser = argparse.ArgumentParser(description='Try what runs survive.')
    parser.add_argument('--kills', type=int, default=50, help='SIGKILLs of one process')
    parser.add_argument('--rank-kills', type=int, default=10, help='SIGKILLs of one process of two')
    parser.add_argument('--only', nargs='+', choices=TRIALS, default=list(TRIALS), help='these trials alone')
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    parser.add_argument('--json', type=Path, help='write the table here too')
    args = parser.parse_args()
    counts = {'kills': args.kills, 'rank-kills': args.rank_kills}
    rows = []
    with tempfile.TemporaryDirectory(prefix='mmimg2vec-torture-') as folder:
        runs = Runs(Path(folder))
        for name in args.only:
            start = time.monotonic()
            held, trials, note = TRIALS[name](runs, counts.get(name, 0), random.Random(args.seed))
            rows.append(dict(trial=name, held=held, of=trials, note=note, seconds=round(time.monotonic() - start)))
            print(f'{name}: {held} of {trials} ({note})', flush=True)
    table = Table('trial', 'held', 'promise', 'seconds')
    for row in rows:
        table.add_row(row['trial'], f'{row["held"]} of {row["of"]}', row['note'], str(row['seconds']))
    Console().print(table)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + '\n')
    sys.exit(any(row['held'] < row['of'] for row in rows))


if __name__ == '__main__':
    main()
