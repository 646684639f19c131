#!/usr/bin/env python3
"""Ask a frozen backbone how well classes can be told apart in its features; nothing of it is trained.

    python tools/probe.py CONFIG [CHECKPOINT] [--work-dir DIR] [--cfg-options KEY=VALUE ...]

Classifies images by their nearest neighbors, and by logistic regression where the config's ``knn`` says ``linear``.
Prints the accuracies and writes them to ``WORK_DIR/results.json``. Without CHECKPOINT the backbone comes from the
config's ``init_cfg``; ``--random`` measures random weights. Several processes: ``torchrun --nproc-per-node=8
tools/probe.py CONFIG --launcher pytorch``.
"""

import argparse
import os
import sys
from pathlib import Path

try:
    from mmengine.config import Config
    from mmengine.dist import is_main_process
    from mmengine.runner import Runner

    from mmimg2vec.checkpoint.fill import fill
    from mmimg2vec.datasets.checks import found_text
    from mmimg2vec.engine.command_line import add_common_arguments, build_runner, run, set_work_dir
    from mmimg2vec.engine.launch import prepare_launch
    from mmimg2vec.errors import UserError
    from mmimg2vec.evaluation import (
        build_labeled_loaders,
        extract_features,
        knn_accuracies,
        linear_accuracy,
    )
    from mmimg2vec.evaluation.features import POOLS
    from mmimg2vec.utils.config import load_config
    from mmimg2vec.utils.distributed import unwrapped
    from mmimg2vec.utils.write import write_json
except ModuleNotFoundError as error:
    sys.exit(f'mmimg2vec: error: {sys.executable} has no {error.name}: take .venv/bin/python, made by `make venv`')

KEYS = {'cls': '_cls', 'mean': ''}


def parse_arguments() -> argparse.Namespace:
    """Define and parse the command line."""
    parser = argparse.ArgumentParser(description='kNN and linear accuracy of a frozen backbone.')
    parser.add_argument('config', help='config file with `knn`, such as ...-knn_in1k.py')
    parser.add_argument('checkpoint', nargs='?', help="backbone.pth; the one of the config's init_cfg")
    parser.add_argument('--random', action='store_true', help='measure random weights')
    parser.add_argument('--seed', type=int, default=0, help='seed of the random weights')
    add_common_arguments(parser)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def apply_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Write the command line into the config.

    Raises:
        UserError: The config does not describe a kNN evaluation, or names no checkpoint.
    """
    if 'knn' not in cfg:
        raise UserError(f'{args.config} has no `knn`: take configs/benchmarks/classification/vit_8xb128-knn_in1k.py')
    set_work_dir(cfg, args.work_dir)
    if args.random:
        if args.checkpoint:
            raise UserError(f'--random measures random weights: leave out {args.checkpoint}')
        cfg.model.backbone.init_cfg = None
        cfg.randomness = dict(seed=args.seed)
        return
    if args.checkpoint:
        init = dict(type='Pretrained', prefix='backbone.')
        cfg.model.backbone.init_cfg = {**init, 'checkpoint': args.checkpoint}
    if not (cfg.model.backbone.get('init_cfg') or {}).get('checkpoint'):
        raise UserError(f'no checkpoint: name one after {args.config}')


def evaluate(runner: Runner) -> dict[str, float]:
    """Accuracies in percent: ``knn``, ``linear`` of the mean of the patch tokens, ``..._cls`` of the class token.

    Raises:
        UserError: The checkpoint does not fill the backbone.
    """
    knn, backbone = runner.cfg.knn, unwrapped(runner.model).backbone
    loaders = build_labeled_loaders(knn, 'knn')
    if backbone.init_cfg is None:
        backbone.init_weights()
    else:
        # Nothing initializes a model that is not trained; this fails where anything stays unfilled.
        fill(backbone, backbone.init_cfg['checkpoint'], prefix=backbone.init_cfg.get('prefix'))
    pools = tuple(knn.get('pools', POOLS))
    features = []
    for loader in loaders:
        runner.logger.info(f'features of {found_text(loader.dataset)}')
        features.append(extract_features(runner.model, loader, pools))
    bank, query = features
    device = next(backbone.parameters()).device
    found = knn_accuracies(bank, query, knn.get('k', 20), knn.get('temperature', 0.07), device)
    results = {f'knn{KEYS[pool]}': value for pool, value in found.items()}
    if knn.get('linear'):
        for pool in pools:
            rows = (bank[0][pool], bank[1], query[0][pool], query[1])
            results[f'linear{KEYS[pool]}'] = linear_accuracy(*rows)
    return results


def main() -> None:
    """Read the config, apply the command line, evaluate."""
    args = parse_arguments()
    cfg = load_config(args.config, args.cfg_options)
    apply_arguments(cfg, args)
    prepare_launch(cfg, args.launcher)
    runner = build_runner(cfg)
    results = evaluate(runner)
    if is_main_process():
        path = Path(runner.work_dir, 'results.json')
        write_json(path, results)
        line = '  '.join(f'{name}: {value:.2f}' for name, value in results.items())
        runner.logger.info(f'{line} ({path})')


if __name__ == '__main__':
    run(main)
