"""Predictions of a trained model for images, as pictures and as JSON."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mmcv
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DefaultScope

from mmimg2vec.checkpoint.write import write_json
from mmimg2vec.datasets.image_files import find_images, unreadable
from mmimg2vec.environment import require
from mmimg2vec.errors import UserError
from mmimg2vec.inference.base import ImageInferencer
from mmimg2vec.utils.config import load_config

# default_scope of a config -> task (a module of this package), distribution of the library.
_TASKS = {
    'mmpretrain': ('classification', 'onedl-mmpretrain'),
    'mmdet': ('detection', 'onedl-mmdetection'),
    'mmseg': ('segmentation', 'onedl-mmsegmentation'),
}


def infer(
    config: str | Path | Config,
    checkpoint: str | Path,
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    device: str | None = None,
    score_threshold: float = 0.3,
    report: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Predict for images with a trained classifier, detector or segmenter.

    The task is that of the config's ``default_scope``. ``out`` gets ``NAME.png`` per image, ``labels/NAME.png`` (the
    index of each pixel's class) for segmentation, and ``predictions.json``. Where the backbone's weights came from
    (``init_cfg``) need not be there any more.

    Args:
        config: Config, or its file.
        checkpoint: Weights that the config has trained; nothing in the file is executed.
        images: Image files, and folders with images.
        out: Folder of the results.
        device: ``'cpu'``, ``'cuda:0'``, ...; None is an accelerator where there is one.
        score_threshold: Detection: objects below are left out.
        report: Called with a line per image.

    Returns:
        What ``predictions.json`` holds: ``task``, ``config``, ``checkpoint``, ``classes``, ``palette`` (RGB),
        ``images`` (each with ``image``, ``picture`` and what the task predicts; see ``predict`` in this package's
        modules; paths of results relative to ``out``) and ``skipped`` (each with ``image`` and ``reason``).

    Raises:
        UserError: The checkpoint is missing or of another model, the config is not one of the three tasks, or there
            is no readable image.
    """
    cfg = config.copy() if isinstance(config, Config) else load_config(str(config))
    task, distribution = _task(cfg)
    if not Path(checkpoint).is_file() and '://' not in str(checkpoint):
        raise UserError(f'no checkpoint {checkpoint}: check the path')
    out = Path(out)
    names = find_images([images] if isinstance(images, (str, Path)) else images, out)
    skipped = {path: reason for path in names if (reason := unreadable(path))}
    if len(skipped) == len(names):
        first, reason = next(iter(skipped.items()))
        raise UserError(f'none of the {len(names)} images can be read (first: {first}: {reason})')
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'{out} cannot be made a folder for the results: {error}') from error
    require(cfg.default_scope, f'{task.capitalize()}', distribution)
    module = importlib.import_module(f'mmimg2vec.inference.{task}')
    records: list[dict[str, Any]] = []
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.no_grad():
        inferencer: ImageInferencer = module.Inferencer(cfg, str(checkpoint), device or get_device())
        for path, name in names.items():
            if path in skipped:
                continue
            predicted, picture, labels = inferencer.predict(str(path), score_threshold)
            record = {'image': str(path), 'picture': f'{name}.png', **predicted}
            _write(out / record['picture'], picture[..., ::-1])
            if labels is not None:
                record['labels'] = f'labels/{name}.png'
                _write(out / record['labels'], labels)
            records.append(record)
            if report is not None:
                report(f'{path} -> {out / record["picture"]}')
    result = {
        'task': task,
        'config': str(cfg.filename),
        'checkpoint': str(checkpoint),
        'classes': inferencer.meta['classes'],
        'palette': inferencer.meta['palette'],
        'images': records,
        'skipped': [{'image': str(path), 'reason': reason} for path, reason in skipped.items()],
    }
    write_json(out / 'predictions.json', result)
    return result


def _task(cfg: Config) -> tuple[str, str]:
    scope = cfg.get('default_scope')
    name = cfg.filename or 'the config'
    if scope not in _TASKS:
        raise UserError(
            f'{name} has default_scope={scope!r}: images are classified, detected in and segmented with configs of '
            f'{", ".join(_TASKS)}'
        )
    if cfg.get('test_dataloader') is None or cfg.get('model') is None:
        raise UserError(
            f'{name} has no test_dataloader to take the image pipeline from: name a config of classification, '
            'detection or segmentation'
        )
    return _TASKS[scope]


def _write(path: Path, image: Any) -> None:
    if not mmcv.imwrite(image, str(path)):
        raise UserError(f'{path} cannot be written')
