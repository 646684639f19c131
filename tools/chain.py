#!/usr/bin/env python3
"""Run a chain of stages: pre-training, classifier, detector, segmenter, and one report at the end.

    python tools/chain.py CHAIN [--dry-run | --check] [--only STAGE ...] [--launcher pytorch --gpus 8]

Finished stages are skipped, interrupted ones resumed: after a crash the same command goes on. Before the first stage
starts, every dataset, annotation file and checkpoint that any stage will need is looked for. ``--dry-run`` does that
and prints the command of each stage; ``--check`` also makes one step of each stage that can start by now.
The report is written to WORK_DIR/report.md and WORK_DIR/report.html.
"""

from __future__ import annotations

import argparse
import sys
import time

try:
    from mmimg2vec.chain import (
        Chain,
        Launch,
        check_chain,
        is_finished,
        read_chain,
        run_chain,
        shell_line,
        stage_command,
    )
    from mmimg2vec.chain.commands import add_launch_arguments
    from mmimg2vec.chain.preflight import try_stages
    from mmimg2vec.engine.command_line import run, silence_mmengine
    from mmimg2vec.errors import UserError
except ModuleNotFoundError as error:
    sys.exit(f'mmimg2vec: error: {sys.executable} has no {error.name}: take .venv/bin/python, made by `make venv`')


def parse_arguments() -> argparse.Namespace:
    """Define and parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('chain', help='chain config, such as those in configs/chains/')
    parser.add_argument('--work-dir', help="folder in place of the chain config's")
    parser.add_argument('--seed', type=int, help="seed in place of the chain config's")
    parser.add_argument('--dry-run', action='store_true', help='print the commands, check what they need, run none')
    parser.add_argument('--check', action='store_true', help='as --dry-run, and one step of each stage that can start')
    parser.add_argument(
        '--redo',
        nargs='+',
        default=[],
        metavar='STAGE',
        help='run these stages, and those that need them, again; what they wrote is kept under another name',
    )
    parser.add_argument('--report', action='store_true', help='write the report and run nothing')
    add_launch_arguments(parser)
    return parser.parse_args()


def print_plan(chain: Chain, launch: Launch, only: tuple[str, ...]) -> None:
    """Print the command of each stage."""
    for stage in chain.select(only):
        state = 'finished' if is_finished(chain, stage) else 'to run'
        print(f'# {stage.name}: {stage.title} ({state})')
        print(shell_line(*stage_command(chain, stage, launch)))


def write_report(chain: Chain) -> None:
    """Write the report of what is finished."""
    from mmimg2vec.chain.report import write_report as write

    # Imported here: figures and pictures need more than the rest of this script.
    print(f'report: {write(chain)}')


def main() -> None:
    """Check, run, report.

    Raises:
        UserError: A stage failed, or something that one needs is not there.
    """
    args = parse_arguments()
    start = time.monotonic()
    silence_mmengine()
    chain = read_chain(args.chain, args.work_dir, args.seed, args.cfg_options)
    launch = Launch(args.launcher, args.gpus, args.partition)
    if args.report:
        write_report(chain)
        return
    only, redo = tuple(args.only), tuple(args.redo)
    if args.dry_run or args.check:
        print_plan(chain, launch, only)
    problems = check_chain(chain, launch, only, redo)
    if args.check and not problems:
        problems = try_stages(chain, launch, only)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        count = 'one thing' if len(problems) == 1 else f'{len(problems)} things'
        raise UserError(f'{count} missing for the chain {chain.name} (named above): nothing was started')
    if args.dry_run or args.check:
        print('everything that the stages need is there')
        return
    print(f'{chain.title}: {len(chain.stages)} stages in {chain.work_dir}', flush=True)
    try:
        failed = run_chain(chain, launch, only, redo, report=lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        raise UserError('interrupted: the same command goes on') from None
    write_report(chain)
    print(f'{(time.monotonic() - start) / 60:.1f} minutes')
    if failed:
        raise UserError(
            f'not finished: {", ".join(failed)}; what was finished stays finished: the same command goes on'
        )


if __name__ == '__main__':
    run(main)
