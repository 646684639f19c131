"""Predictions of a trained model for images, as pictures and as JSON."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mmcv
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DefaultScope

from mmimg2vec.datasets.image_files import find_images, unreadable
from mmimg2vec.engine.own_data import take_own_data
from mmimg2vec.environment import require
from mmimg2vec.errors import UserError
from mmimg2vec.inference.base import ImageInferencer
from mmimg2vec.utils.config import load_config
from mmimg2vec.utils.write import write_json

# default_scope of a config -> task (a module of this package), distribution of the library.
_TASKS = {
    'mmpretrain': ('classification', 'onedl-mmpretrain'),
    'mmdet': ('detection', 'onedl-mmdetection'),
    'mmseg': ('segmentation', 'onedl-mmsegmentation'),
}
_RESULTS = 'predictions.json'


def infer(
    config: str | Path | Config,
    checkpoint: str | Path,
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    device: str | None = None,
    score_threshold: float = 0.3,
    report: Callable[[str], None] | None = None,
    overwrite: bool = False,
    max_share: float = 0.01,
) -> dict[str, Any]:
    """Predict for images with a trained classifier, detector or segmenter.

    The task is that of the config's ``default_scope``. ``out`` gets ``NAME.png`` per image, ``labels/NAME.png`` (the
    index of each pixel's class) for segmentation, and ``predictions.json``. A file that is there already is written
    again where the ``predictions.json`` beside it names it, and no other. An image that fails is named, and all others
    are predicted. Where the backbone's weights came from
    (``init_cfg``) need not be there any more.

    Args:
        config: Config, or its file.
        checkpoint: Weights that the config has trained; nothing in the file is executed.
        images: Image files, and folders with images.
        out: Folder of the results.
        device: ``'cpu'``, ``'cuda:0'``, ...; None is an accelerator where there is one.
        score_threshold: Detection: objects below are left out.
        report: Called with a line per image.
        overwrite: Whether files of others in ``out`` are replaced.
        max_share: Largest share of images that may fail, 0 to 1; a single one always may, unless it is 0.

    Returns:
        What ``predictions.json`` holds: ``task``, ``config``, ``checkpoint``, ``classes``, ``palette`` (RGB),
        ``images`` (each with ``image``, ``picture`` and what the task predicts; see ``predict`` in this package's
        modules; paths of results relative to ``out``) and ``skipped`` (each with ``image`` and ``reason``).

    Raises:
        UserError: The checkpoint is missing or of another model, the config is not one of the three tasks, a file in
            ``out`` is in the way, there is no readable image, or (all else being written) too many fail.
    """
    cfg = config.copy() if isinstance(config, Config) else load_config(str(config))
    take_own_data(cfg)
    task, distribution = _task(cfg)
    if not Path(checkpoint).is_file() and '://' not in str(checkpoint):
        raise UserError(f'no checkpoint {checkpoint}: check the path')
    out = Path(out)
    names = find_images([images] if isinstance(images, (str, Path)) else images, out, report)
    _refuse_others(out, list(names.values()), task, overwrite)
    skipped = {path: reason for path in names if (reason := unreadable(path))}
    _check_any(skipped, names, 'read')
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'{out} cannot be made a folder for the results: {error}') from error
    require(cfg.default_scope, f'{task.capitalize()}', distribution)
    module = importlib.import_module(f'mmimg2vec.inference.{task}')
    records: list[dict[str, Any]] = []
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.no_grad():
        inferencer: ImageInferencer = module.Inferencer(cfg, str(checkpoint), device or get_device())
        for number, (path, name) in enumerate(names.items(), start=1):
            if path in skipped:
                continue
            try:
                predicted, picture, labels = inferencer.predict(str(path), score_threshold)
            except Exception as error:  # what a network raises of one odd image must not cost the others their results
                reason = ' '.join(str(error).split())[:200]
                skipped[path] = f'{type(error).__name__}: {reason}'
                continue
            record = {'image': str(path), 'picture': f'{name}.png', **predicted}
            _write(out / record['picture'], picture[..., ::-1])
            if labels is not None:
                record['labels'] = f'labels/{name}.png'
                _write(out / record['labels'], labels)
            records.append(record)
            if report is not None:
                report(f'{number}/{len(names)}: {path} -> {out / record["picture"]}')
    result = {
        'task': task,
        'config': str(cfg.filename),
        'checkpoint': str(checkpoint),
        'classes': inferencer.meta['classes'],
        'palette': inferencer.meta['palette'],
        'images': records,
        'skipped': [{'image': str(path), 'reason': reason} for path, reason in skipped.items()],
    }
    _check_any(skipped, names, 'predicted for')
    write_json(out / _RESULTS, result)
    check_share(skipped, len(names), max_share, out / _RESULTS)
    return result


def check_share(skipped: Mapping[Path, str], count: int, max_share: float, results: Path) -> None:
    """Refuse more failures than are allowed, once the results of the other images are written.

    Args:
        skipped: Image -> why it failed.
        count: Of all images.
        max_share: Largest share that may fail, 0 to 1; a single one always may, unless it is 0.
        results: JSON file that lists them.

    Raises:
        UserError: More have failed.
    """
    if len(skipped) > max(max_share * count, float(max_share > 0)):
        first, reason = next(iter(skipped.items()))
        raise UserError(
            f'{len(skipped)} of {count} images fail, more than max_share={max_share:g} (first: {first}: {reason}; '
            f'all: "skipped" in {results}); the results of the others are in {results.parent}'
        )


def _check_any(skipped: Mapping[Path, str], names: Mapping[Path, str], what: str) -> None:
    if len(skipped) == len(names):
        first, reason = next(iter(skipped.items()))
        raise UserError(f'none of the {len(names)} images can be {what} (first: {first}: {reason})')


def _refuse_others(out: Path, names: Sequence[str], task: str, overwrite: bool) -> None:
    """Refuse to replace what no earlier call has written.

    Raises:
        UserError: There is such a file.
    """
    labels = [f'labels/{name}.png' for name in names] if task == 'segmentation' else []
    own = _written_before(out / _RESULTS)
    there = [name for name in (_RESULTS, *(f'{n}.png' for n in names), *labels) if (out / name).exists()]
    others = [name for name in there if name not in own]
    if others and not overwrite:
        more = f' and {len(others) - 1} more' if others[1:] else ''
        raise UserError(
            f'{out / others[0]}{more} would be replaced, and an earlier call has not written it: name another folder '
            'for --out, or add --overwrite'
        )


def _written_before(path: Path) -> set[str]:
    """Names of the files that a ``predictions.json`` of this module lists, its own included."""
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
        images = [*found['images'], *found['skipped']]
        if found['task'] not in {task for task, _ in _TASKS.values()}:
            return set()
        return {path.name, *(str(each[key]) for each in images for key in ('picture', 'labels') if key in each)}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


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
