#!/usr/bin/env python3
"""Test a checkpoint on the test data of its config: classification, detection or segmentation.

    python tools/test.py CONFIG CHECKPOINT [--tta] [--out PREDICTIONS.pkl] [--cfg-options KEY=VALUE ...]

``mim test mmimg2vec CONFIG`` runs this file; several processes: ``tools/dist_test.sh``.
"""

import argparse
import os
import sys

try:
    from mmengine.config import Config
    from mmengine.evaluator import DumpResults

    from mmimg2vec.engine.command_line import (
        add_common_arguments,
        build_runner,
        run,
        set_dataloader_defaults,
        set_work_dir,
    )
    from mmimg2vec.engine.data_preparation import prepare_data
    from mmimg2vec.engine.hooks import TrainedWeightsHook
    from mmimg2vec.engine.launch import prepare_launch
    from mmimg2vec.errors import UserError
    from mmimg2vec.utils.config import load_config
except ModuleNotFoundError as error:
    sys.exit(f'mmimg2vec: error: {sys.executable} has no {error.name}: take .venv/bin/python, made by `make venv`')


def parse_arguments() -> argparse.Namespace:
    """Define and parse the command line."""
    parser = argparse.ArgumentParser(description='Test a checkpoint.')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--tta', action='store_true', help='mean over several sizes, as it is and flipped (segmentation)'
    )
    parser.add_argument('--out', metavar='FILE.pkl', help='write the predictions to this file')
    add_common_arguments(parser)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def apply_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Write the command line into the config.

    Raises:
        UserError: The checkpoint is not there, or the config has nothing to test.
    """
    if not os.path.isfile(args.checkpoint) and '://' not in args.checkpoint:
        raise UserError(f'no checkpoint {args.checkpoint}')
    if cfg.get('test_dataloader') is None:
        raise UserError(
            f'{args.config} has no test_dataloader: test with a config of the classification, '
            'detection or segmentation benchmarks'
        )
    if args.out and not args.out.endswith(('.pkl', '.pickle')):
        raise UserError(f'--out {args.out}: the predictions are written as a pickle, so name it FILE.pkl')
    if args.tta:
        augment_test(cfg, args.config)
    set_work_dir(cfg, args.work_dir)
    set_dataloader_defaults(cfg)
    cfg.load_from = args.checkpoint


def augment_test(cfg: Config, name: str) -> None:
    """Test-time augmentation: put the config's ``tta_model`` around its model, and test with its ``tta_pipeline``.

    Raises:
        UserError: The config has none.
    """
    if 'tta_model' not in cfg or 'tta_pipeline' not in cfg:
        raise UserError(f'--tta: {name} has no tta_model and tta_pipeline; the UPerNet configs have them')
    cfg.model = {**cfg.tta_model, 'module': cfg.model}
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    # Such a model predicts only.
    for part in ('train_cfg', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'auto_scale_lr'):
        cfg[part] = None
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None


def main() -> None:
    """Read the config, apply the command line, test."""
    args = parse_arguments()
    cfg = load_config(args.config, args.cfg_options)
    apply_arguments(cfg, args)
    prepare_launch(cfg, args.launcher)
    runner = build_runner(cfg)
    runner.register_hook(TrainedWeightsHook())
    prepare_data(runner, ('test',))
    if args.out:
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
    runner.test()


if __name__ == '__main__':
    run(main)
