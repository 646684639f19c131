"""The data of a run at its door: all splits are checked by the same code before any of them is built.

The checks of files run on one process; what they found is then written into the configs of the dataloaders and
evaluators on all of them, so that dataset and evaluator read the same mended annotations.
"""

from __future__ import annotations

import hashlib
import os.path as osp
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from mmimg2vec.datasets.annotations.coco import mend_coco
from mmimg2vec.datasets.config_checks import check_dataset_config, datasets_in
from mmimg2vec.datasets.reading import image_size
from mmimg2vec.errors import UserError
from mmimg2vec.utils.write import write_json

# What mmcv's loader takes and `mmimg2vec.LoadImage` too.
_LOADER_SETTINGS = {'type', 'to_float32', 'color_type', 'imdecode_backend', 'backend_args'}


def check_data(
    loaders: Mapping[str, Any], evaluators: Mapping[str, Any], folder: str | Path
) -> tuple[dict[str, str], list[str]]:
    """Check paths, lists and annotation files of all splits; write mended copies of annotations.

    Args:
        loaders: Name, such as ``'val_dataloader'``, -> config of a dataloader.
        evaluators: The same names with ``evaluator`` -> config of a metric, or a list of them.
        folder: Where mended copies are written.

    Returns:
        Annotation file -> its mended copy; and a line per file of what was mended or will be left out.

    Raises:
        UserError: Something is missing, or cannot be mended.
    """
    for name, loader in loaders.items():
        for key, least in (('batch_size', 1), ('num_workers', 0)):
            value = loader.get(key, least)
            if not isinstance(value, int) or value < least:
                raise UserError(f'{name}.{key}={value!r}: set a whole number of {least} or more')
    _raise_first(loaders, evaluators, with_categories=False)
    copies = {}
    notes = [
        f'{key}.metainfo.palette has another length than its classes, and is left out'
        for name, loader in loaders.items()
        for dataset, key in datasets_in(loader['dataset'], f'{name}.dataset')
        if not _palette_fits(dataset)
    ]
    files = _coco_files(loaders, evaluators)
    for path, demands in files.items():
        content, is_mended, said = mend_coco(path, demands['masks'], demands['scored'], demands['size_of'])
        demands['images'] = {image['id'] for image in content['images']}
        if said:
            notes.append(f'{path}: {"; ".join(said)}')
        if is_mended:
            copies[path] = str(_write(content, path, Path(folder, 'annotations')))
            notes[-1] += f' (the mended copy {copies[path]} is read)'
    for predicted, scored in _pairs(loaders, evaluators):
        _compare_images(predicted, scored, files)
    # Last: of a file that is broken something better is to be said than that it lacks a category.
    _raise_first(loaders, evaluators, with_categories=True)
    return copies, notes


def _raise_first(loaders: Mapping[str, Any], evaluators: Mapping[str, Any], with_categories: bool) -> None:
    """End with the first problem of the configs.

    Raises:
        UserError: There is one.
    """
    for name in loaders:
        problems = check_dataset_config({**loaders, **evaluators}, name, with_categories)
        if problems:
            raise UserError(problems[0])


def apply_to(loaders: Mapping[str, Any], evaluators: Mapping[str, Any], copies: Mapping[str, str]) -> None:
    """Write into the configs, in place: what was mended, the project's image loader, and its evaluation dataset.

    Args:
        loaders: As :func:`check_data` takes them; configs of other kinds than dictionaries are left alone.
        evaluators: Likewise.
        copies: As :func:`check_data` returns them.
    """
    for name, loader in loaders.items():
        for dataset, _ in datasets_in(loader['dataset'], f'{name}.dataset'):
            use_own_loader(dataset)
            if not _palette_fits(dataset):
                dataset['metainfo']['palette'] = []
            path = _annotations(dataset)
            if path is not None and path in copies:
                dataset['ann_file'] = copies[path]
        is_wrapped = str(loader['dataset'].get('type', '')).split('.')[-1] in ('SeededDataset', 'EvaluationDataset')
        if not name.startswith('train') and not is_wrapped:
            loader['dataset'] = {
                'type': 'mmimg2vec.EvaluationDataset',
                'dataset': loader['dataset'],
                'config_key': f'{name}.dataset',
            }
    for metric in (metric for part in evaluators.values() for metric in _metrics(part)):
        path = _scored_file(metric)
        if path is not None and path in copies:
            metric['ann_file'] = copies[path]


def _palette_fits(dataset: Mapping[str, Any]) -> bool:
    """Whether there is a color for each class, without which mmseg builds no dataset; it draws colors by itself."""
    metainfo = dataset.get('metainfo') or {}
    classes, palette = metainfo.get('classes'), metainfo.get('palette')
    return not isinstance(classes, (list, tuple)) or not palette or len(palette) == len(classes)


def use_own_loader(dataset: Mapping[str, Any]) -> None:
    """Let ``mmimg2vec.LoadImage`` take the place of mmcv's loader in a pipeline: one function reads in all splits."""
    for step in dataset.get('pipeline') or ():
        if not isinstance(step, MutableMapping) or set(step) - _LOADER_SETTINGS:
            continue
        if str(step.get('type')).split('.')[-1] == 'LoadImageFromFile':
            step['type'] = 'mmimg2vec.LoadImage'
            step['channels'] = 3 if step.get('color_type', 'color').startswith('color') else None


def _metrics(evaluator: Any) -> list[MutableMapping]:
    parts = evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]
    return [metric for metric in parts if isinstance(metric, MutableMapping)]


def _annotations(dataset: Mapping[str, Any]) -> str | None:
    """Path of a local annotation file in COCO's format, or None."""
    if str(dataset.get('type')).split('.')[-1] != 'CocoDataset' or not dataset.get('ann_file'):
        return None
    path = osp.normpath(osp.join(osp.expanduser(dataset.get('data_root') or ''), osp.expanduser(dataset['ann_file'])))
    return None if '://' in dataset['ann_file'] or not osp.isfile(path) else path


def _coco_files(loaders: Mapping[str, Any], evaluators: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each annotation file -> what is asked of it: masks, whether it is scored against, and sizes of its images."""
    files: dict[str, dict[str, Any]] = {}
    for name, loader in loaders.items():
        metrics = _coco_metrics(evaluators, name)
        if any(metric.get('format_only') for metric in metrics):
            continue  # nothing is scored: the file may have no annotations
        scores_masks = any('segm' in metric.get('metric', ()) for metric in metrics)
        for dataset, _ in datasets_in(loader['dataset'], name):
            paths = {_annotations(dataset), *map(_scored_file, metrics)}
            for path in (path for path in paths if path is not None):
                demands = files.setdefault(path, {'masks': False, 'scored': False, 'size_of': _size_of(dataset)})
                demands['masks'] |= _loads_masks(dataset) or scores_masks
                demands['scored'] |= not name.startswith('train')
    return files


def _pairs(loaders: Mapping[str, Any], evaluators: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Annotation files of dataset and metric that are not the same."""
    return {
        (path, scored)
        for name, loader in loaders.items()
        for dataset, _ in datasets_in(loader['dataset'], name)
        for metric in _coco_metrics(evaluators, name)
        if (path := _annotations(dataset)) and (scored := _scored_file(metric)) and not osp.samefile(path, scored)
    }


def _compare_images(predicted: str, scored: str, files: Mapping[str, Mapping[str, Any]]) -> None:
    if predicted not in files or scored not in files:
        return
    single = files[predicted]['images'] ^ files[scored]['images']
    if single:
        raise UserError(
            f'the evaluator scores against {scored}, the dataset reads {predicted}, and {len(single)} images are in '
            f'one of them only (first: id {sorted(single, key=str)[0]!r}): give both the same ann_file'
        )


def _coco_metrics(evaluators: Mapping[str, Any], loader: str) -> list[MutableMapping]:
    metrics = _metrics(evaluators.get(loader.replace('dataloader', 'evaluator')))
    return [metric for metric in metrics if str(metric.get('type')).endswith('CocoMetric')]


def _scored_file(metric: Mapping[str, Any]) -> str | None:
    path = osp.normpath(osp.expanduser(metric.get('ann_file') or ''))
    return path if osp.isfile(path) else None


def _loads_masks(dataset: Mapping[str, Any]) -> bool:
    steps = [step for step in dataset.get('pipeline') or () if isinstance(step, Mapping)]
    return any(step.get('with_mask') for step in steps if str(step.get('type')).endswith('LoadAnnotations'))


def _size_of(dataset: Mapping[str, Any]) -> Any:
    prefix = dataset.get('data_prefix') or {}
    prefix = prefix.get('img') or prefix.get('img_path') or '' if isinstance(prefix, Mapping) else prefix
    folder = osp.join(osp.expanduser(dataset.get('data_root') or ''), prefix)
    types = [step.get('color_type', 'color') for step in dataset.get('pipeline') or () if isinstance(step, Mapping)]
    turned = 'color_ignore_orientation' not in types and 'unchanged' not in types
    return lambda name: image_size(osp.join(folder, name), turned)


def _write(content: dict, path: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(osp.abspath(path).encode()).hexdigest()[:8]
    copy = folder / f'{Path(path).stem}_mended_{digest}.json'
    write_json(copy, content, indent=None)
    return copy.absolute()
