"""What the demo and the experiment share: train a stage, probe its backbone, draw the results.

Each stage is an ordinary config of ``configs/demo/``, trained by an mmengine Runner in a folder of its own. A stage
whose ``backbone.pth`` is there is skipped, an interrupted one is resumed.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mmimg2vec.engine.command_line import build_runner, load_config
from mmimg2vec.evaluation import extract_features, knn_accuracy, linear_accuracy

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / 'configs' / 'demo'
TEACHER = 'simclr_resnet-tiny_1xb128-coslr-8e_shapes.py'
MAE = 'mae_vit-tiny-p8_1xb128-coslr-8e_shapes.py'
IMG2VEC = 'img2vec_vit-tiny-p8_1xb128-coslr-8e_shapes.py'


def read_config(name: str, options: dict[str, Any] | None = None) -> Config:
    """Read a demo config, with options merged into it."""
    return load_config(str(CONFIGS / name), options)


def train_stage(
    name: str, work_dir: Path, seed: int, options: dict[str, Any] | None = None
) -> float:
    """Train a config, unless its folder holds the finished backbone; go on where it was interrupted.

    What mmengine prints goes to ``WORK_DIR/console.log``; the terminal gets one line of progress.

    Args:
        name: Config in ``configs/demo/``.
        work_dir: Folder of the stage.
        seed: Seed of the run.
        options: Dotted key -> value, as ``--cfg-options``.

    Returns:
        Seconds of training, those of earlier attempts included.
    """
    clock = work_dir / 'seconds.json'
    spent = json.loads(clock.read_text()) if clock.exists() else 0.0
    if (work_dir / 'backbone.pth').exists():
        print(f'{name}: finished before ({spent:.0f} s)')
        return spent
    work_dir.mkdir(parents=True, exist_ok=True)
    cfg = read_config(name, options)
    cfg.work_dir, cfg.resume, cfg.randomness = str(work_dir), True, dict(seed=seed)
    cfg.experiment_name = f'{work_dir.parent.name}-{work_dir.name}-{time.time_ns()}'
    # Two stages may run at a time.
    progress = dict(
        type='mmimg2vec.ProgressHook', seconds=10, label=f'{work_dir.name:9s}', overwrite=False
    )
    cfg.custom_hooks = [*cfg.custom_hooks, progress]
    start = time.monotonic()
    try:
        with (
            open(work_dir / 'console.log', 'a') as log,
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
        ):
            build_runner(cfg).train()
    finally:
        hush()
        spent += time.monotonic() - start
        clock.write_text(json.dumps(spent))
    return spent


class Probe(nn.Module):
    """A frozen backbone behind the interface that ``evaluation.extract_features`` asks for."""

    def __init__(self, backbone: nn.Module, preprocessor: nn.Module) -> None:
        super().__init__()
        self.backbone, self.data_preprocessor = backbone, preprocessor

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Features of images ``(B, C, H, W)``."""
        return self.backbone(inputs)


def build_backbone(name: str, checkpoint: Path | None, seed: int) -> nn.Module:
    """The backbone of a demo config as a plain mmpretrain network, filled from ``backbone.pth`` or random.

    A student comes as ``mmpretrain.VisionTransformer``, as a downstream config would take it.
    """
    cfg = read_config(name).model.backbone.to_dict()
    cfg.pop('mask_ratio', None)
    if 'patch_size' in cfg:
        cfg.update(type='mmpretrain.VisionTransformer', out_type='raw')
    torch.manual_seed(seed)
    if checkpoint is None and 'patch_size' in cfg:
        # The random student is what pre-training starts from.
        cfg['type'] = 'mmimg2vec.MaskedVisionTransformer'
    backbone = MODELS.build(cfg)
    if checkpoint is None:
        backbone.init_weights()
    else:
        state = torch.load(checkpoint, map_location='cpu', weights_only=True)['state_dict']
        backbone.load_state_dict({k.removeprefix('backbone.'): v for k, v in state.items()})
    return backbone


def probe(name: str, checkpoint: Path | None, seed: int) -> dict[str, float]:
    """Measure kNN and linear accuracy (percent) of a backbone on the labelled Shapes crops.

    Returns:
        ``knn`` and ``linear`` of the mean over patch tokens (of the map, for a convolutional network) and, where
        there is a class token, ``knn_cls`` and ``linear_cls``.
    """
    cfg = read_config(IMG2VEC)
    backbone = build_backbone(name, checkpoint, seed)
    pools = ('cls', 'mean') if hasattr(backbone, 'cls_token') else ('mean',)
    preprocessor = MODELS.build(
        dict(type='mmimg2vec.MaskedImagePreprocessor', **cfg.model.data_preprocessor)
    )
    model = Probe(backbone, preprocessor)
    if torch.cuda.is_available():
        model.cuda()
    features = {}
    for split in ('bank_dataloader', 'query_dataloader'):
        loader = Runner.build_dataloader(dict(cfg.knn[split]), seed=0)
        features[split] = extract_features(model, loader, pools)
    (bank, bank_labels), (query, query_labels) = features.values()
    result = {}
    for pool in pools:
        suffix = '' if pool == 'mean' else '_cls'
        rows = (bank[pool], bank_labels, query[pool], query_labels)
        result[f'knn{suffix}'] = knn_accuracy(*rows)
        result[f'linear{suffix}'] = linear_accuracy(*rows)
    return result


def run_arm(arm: str, folder: Path, seed: int, epochs_factor: float = 1.0) -> dict[str, Any]:
    """Train (where the arm is trained) and probe one arm of the comparison.

    Args:
        arm: ``'random'``, ``'teacher'``, ``'mae'``, ``'img2vec'``, or ``'mae_long'``: MAE that is given the teacher's
            training time too, by as many epochs more.
        folder: Folder of the seed; each trained arm gets one below it.
        seed: Seed of every run.
        epochs_factor: Multiplies the epochs of teacher and students alike.

    Returns:
        ``arm``, ``seed``, ``epochs``, ``seconds`` of training and what :func:`probe` gives.
    """
    if arm == 'random':
        return dict(arm=arm, seed=seed, epochs=0, seconds=0.0, **probe(IMG2VEC, None, seed))
    name = {'teacher': TEACHER, 'mae': MAE, 'mae_long': MAE, 'img2vec': IMG2VEC}[arm]
    epochs = max(2, round(read_config(name).max_epochs * epochs_factor))
    if arm == 'mae_long':
        # The teacher's seconds, in epochs of MAE.
        teacher, mae = (
            json.loads((folder / stage / 'seconds.json').read_text())
            for stage in ('teacher', 'mae')
        )
        epochs = round(epochs * (1 + teacher / mae))
    os.environ['IMG2VEC_TEACHER'] = str(folder / 'teacher' / 'backbone.pth')
    options = {
        'train_cfg.max_epochs': epochs,
        'param_scheduler.1.end': epochs,
        'default_hooks.checkpoint.interval': max(1, epochs // 4),
    }
    seconds = train_stage(name, folder / arm, seed, options)
    scores = probe(name, folder / arm / 'backbone.pth', seed)
    return dict(arm=arm, seed=seed, epochs=epochs, seconds=seconds, **scores)


LABELS = {
    'random': 'random student',
    'teacher': 'teacher (SimCLR ResNet)',
    'mae': 'MAE (pixel targets)',
    'mae_long': "MAE, with the teacher's minutes too",
    'img2vec': 'Img2Vec (teacher features)',
}


# What an arm has to wait for.
NEEDS = {'img2vec': ('teacher',), 'mae_long': ('teacher', 'mae')}
# The order in which arms are started, as far as they need not wait.
ORDER = ('teacher', 'mae', 'img2vec', 'mae_long', 'random')


def run_arms(
    arms: Iterable[str],
    folder: Path,
    seed: int,
    epochs_factor: float,
    on_done: Callable[[dict[str, Any]], None],
) -> None:
    """Run arms of the comparison, two at a time on a CPU: small networks use one core better than two share.

    Args:
        arms: Names; what one of them needs and is not among them has to be finished already.
        folder: Folder of the seed.
        seed: Seed of every run.
        epochs_factor: See :func:`run_arm`.
        on_done: Gets the result of an arm as soon as it is there.
    """
    waiting = [arm for arm in ORDER if arm in arms]
    workers = 1 if torch.cuda.is_available() else 2
    threads = max(1, torch.get_num_threads() // workers)
    unfinished, running = set(waiting), {}
    with ProcessPoolExecutor(
        workers, multiprocessing.get_context('spawn'), start_quietly, (threads,)
    ) as pool:
        while unfinished:
            ready = [arm for arm in waiting if unfinished.isdisjoint(NEEDS.get(arm, ()))]
            for arm in ready[: workers - len(running)]:
                waiting.remove(arm)
                print(f'{LABELS[arm]} starts')
                running[pool.submit(run_arm, arm, folder, seed, epochs_factor)] = arm
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                row = future.result()
                unfinished.remove(running.pop(future))
                print(f'{LABELS[row["arm"]]}: {scores(row)}')
                on_done(row)


def make_shapes(scenes: int | None = None) -> None:
    """Write the embedded images where they are not there yet: the default number of scenes, or ``scenes``."""
    from mmimg2vec.datasets.shapes import ShapesOptions, write_shapes

    root = Path(read_config(IMG2VEC).data_root)
    start = time.monotonic()
    options = ShapesOptions() if scenes is None else ShapesOptions(scenes, max(1, scenes // 4))
    write_shapes(root, options)
    print(f'images: {root} ({time.monotonic() - start:.0f} s)')


COLUMNS = {
    'knn_cls': 'kNN, class token',
    'knn': 'kNN, patch mean',
    'linear_cls': 'linear, class token',
    'linear': 'linear, patch mean',
}


def scores(row: dict[str, Any]) -> str:
    """The accuracies of one run in one line."""
    return ';  '.join(f'{COLUMNS[key]} {row[key]:.1f} %' for key in COLUMNS if key in row)


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown table of the arms: accuracies in percent, mean over seeds ± standard deviation (n - 1)."""
    lines = [
        f'| backbone | {" | ".join(COLUMNS.values())} | epochs | training, s | seeds |',
        '|---' * (len(COLUMNS) + 4) + '|',
    ]
    for arm, label in LABELS.items():
        own = [row for row in rows if row['arm'] == arm]
        if own:
            scores = [
                _mean_and_spread([row[key] for row in own]) if key in own[0] else '-'
                for key in COLUMNS
            ]
            epochs, seconds = (
                _mean_and_spread([row[key] for row in own], digits=0)
                for key in ('epochs', 'seconds')
            )
            lines.append(f'| {label} | {" | ".join(scores)} | {epochs} | {seconds} | {len(own)} |')
    return '\n'.join(lines)


def _mean_and_spread(values: list[float], digits: int = 1) -> str:
    mean = sum(values) / len(values)
    if len(values) == 1 or min(values) == max(values):
        return f'{mean:.{digits}f}'
    spread = (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5
    return f'{mean:.{digits}f} ± {spread:.{digits}f}'


def start_quietly(threads: int | None = None) -> None:
    """Set mmengine's scope and the number of threads, and keep mmengine's messages off the terminal."""
    if threads is not None:
        torch.set_num_threads(threads)
    DefaultScope.get_instance('comparison', scope_name='mmpretrain')
    warnings.filterwarnings('ignore')
    hush()


def hush() -> None:
    """Make a logger that lets errors through only the current one; a finished run leaves its own behind."""
    MMLogger.get_instance(f'quiet-{time.time_ns()}', logger_name='quiet', log_level='ERROR')
