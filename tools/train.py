#!/usr/bin/env python3
"""Train what a config describes: pre-training, classification, detection or segmentation.

    python tools/train.py CONFIG [--resume | --overwrite] [--check] [--work-dir DIR] [--cfg-options KEY=VALUE ...]

``mim train mmimg2vec CONFIG`` runs this file; several processes: ``tools/dist_train.sh``, ``tools/slurm_train.sh``.
"""

import argparse
import os
import sys
from contextlib import nullcontext

try:
    from mmengine.config import Config

    from mmimg2vec.engine.check import one_step, prepare_check, prepare_reproduction
    from mmimg2vec.engine.command_line import (
        add_common_arguments,
        build_runner,
        run,
        set_dataloader_defaults,
        set_work_dir,
    )
    from mmimg2vec.engine.data_preparation import prepare_data
    from mmimg2vec.engine.hooks.preemption import stop_when_asked
    from mmimg2vec.engine.launch import prepare_launch
    from mmimg2vec.engine.run_folder import begin_run
    from mmimg2vec.errors import UserError
    from mmimg2vec.utils.config import load_config
except ModuleNotFoundError as error:
    sys.exit(f'mmimg2vec: error: {sys.executable} has no {error.name}: take .venv/bin/python, made by `make venv`')


def parse_arguments() -> argparse.Namespace:
    """Define and parse the command line."""
    parser = argparse.ArgumentParser(description='Train what a config describes.')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help="go on from the work directory's newest checkpoint, or from the one named",
    )
    parser.add_argument('--seed', type=int, help='seed of everything random')
    parser.add_argument('--no-validate', action='store_true', help='train without validation')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate to the real batch size (the config names the one it is meant for)',
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='begin anew in a folder that holds a run; its files are set aside'
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        '--check', action='store_true', help='look at everything that can be known beforehand, make one step, and end'
    )
    start.add_argument(
        '--reproduce', metavar='FILE', help='make the step of a nonfinite_iter_N.pth again, and say where it goes wrong'
    )
    add_common_arguments(parser)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def apply_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Write the command line into the config.

    Raises:
        UserError: The checkpoint to resume from is not there, or the config lacks the base batch size.
    """
    set_work_dir(cfg, args.work_dir)
    set_dataloader_defaults(cfg)
    if args.resume == 'auto':
        cfg.resume, cfg.load_from = True, None
    elif args.resume is not None:
        if not os.path.isfile(args.resume) and '://' not in args.resume:
            raise UserError(f'--resume: no checkpoint {args.resume}; --resume alone takes the newest of {cfg.work_dir}')
        cfg.resume, cfg.load_from = True, args.resume
    if args.seed is not None:
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': args.seed}
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise UserError(
                f'--auto-scale-lr: {args.config} does not name the batch size that its learning rate is for: '
                'add auto_scale_lr = dict(base_batch_size=...)'
            )
        cfg.auto_scale_lr.enable = True


def main() -> None:
    """Read the config, apply the command line, train."""
    args = parse_arguments()
    stop_when_asked()
    cfg = load_config(args.config, args.cfg_options)
    apply_arguments(cfg, args)
    prepare_launch(cfg, args.launcher)
    if args.check:
        prepare_check(cfg, args.overwrite)
    elif args.reproduce:
        prepare_reproduction(cfg, args.reproduce)
    elif int(os.environ.get('RANK', 0)) == 0:  # before the runner writes anything
        begin_run(cfg.work_dir, cfg.get('resume', False), args.overwrite)
    with one_step(cfg) if args.check or args.reproduce else nullcontext():
        runner = build_runner(cfg)
        prepare_data(runner, ('train', 'val'))
        runner.train()


if __name__ == '__main__':
    run(main)
