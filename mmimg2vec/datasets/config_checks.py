"""Checks of a config's datasets that build nothing, for a look ahead at runs that start hours later."""

from __future__ import annotations

import os
import os.path as osp
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from mmimg2vec.datasets.annotations import category_problem, coco_categories, is_class_head
from mmimg2vec.datasets.folders import check_data_paths
from mmimg2vec.errors import UserError


def check_dataset_config(
    cfg: Config | Mapping[str, Any], loader: str = 'train_dataloader', with_categories: bool = True
) -> list[str]:
    """Find what is missing or does not match in the data of a config, in a moment.

    Looks at folders (there, not empty), annotation files of dataset and metric, COCO's category names, and the length
    of a class list given in the config against the heads. Wrappers of datasets are looked through. mmpretrain, mmdet
    and mmseg are not imported.

    Args:
        cfg: The config.
        loader: Name of the dataloader in it; one that the config does not have gives no problems.
        with_categories: Compare class lists with the categories of annotation files.

    Returns:
        A line per problem: what, where, and the cure.
    """
    if not cfg.get(loader):
        return []
    heads = dict(_head_classes(cfg.get('model') or {}))
    problems = []
    for dataset, key in datasets_in(cfg[loader]['dataset'], f'{loader}.dataset'):
        problems += _path_problems(dataset, key) or _class_problems(dataset, key, heads, with_categories)
    evaluators = cfg.get(loader.replace('dataloader', 'evaluator')) or []
    for metric in [evaluators] if isinstance(evaluators, Mapping) else evaluators:
        path = metric.get('ann_file') if isinstance(metric, Mapping) else None
        if path and _is_local(path) and not osp.isfile(path):
            problems.append(
                f'no annotation file {path}: correct ann_file of {metric["type"]} in '
                f'{loader.replace("dataloader", "evaluator")}'
            )
    return problems


def datasets_in(dataset: Mapping, key: str) -> Iterator[tuple[Any, str]]:
    """The datasets inside wrappers, each with its place in the config."""
    if isinstance(dataset.get('dataset'), Mapping):
        yield from datasets_in(dataset['dataset'], f'{key}.dataset')
    elif 'datasets' in dataset:
        for index, inner in enumerate(dataset['datasets']):
            yield from datasets_in(inner, f'{key}.datasets.{index}')
    else:
        yield dataset, key


def _path_problems(dataset: Mapping, key: str) -> list[str]:
    try:
        check_data_paths(dataset, key)
    except UserError as error:
        return [str(error)]
    prefixes = dataset.get('data_prefix')
    if not isinstance(prefixes, Mapping):
        prefixes = {}
    problems = []
    for name, prefix in prefixes.items():
        folder = osp.expanduser(osp.join(dataset.get('data_root') or '', prefix or ''))
        if not prefix or not _is_local(folder):
            continue
        where = f'set {key}.data_prefix.{name} or data_root'
        if not osp.isdir(folder):
            problems.append(f'no data folder {folder}: {where}')
        elif next(os.scandir(folder), None) is None:
            problems.append(f'the data folder {folder} is empty: fill it, or {where}')
    return problems


def _class_problems(dataset: Mapping, key: str, heads: Mapping[str, int], with_categories: bool) -> list[str]:
    classes = (dataset.get('metainfo') or {}).get('classes')
    if isinstance(classes, str) and not osp.isfile(classes):
        return [
            f'{key}.metainfo.classes is the text {classes!r}, which would be read as {len(classes)} classes of a '
            f"letter each: write a list, with its comma: classes=('{classes}',), or --cfg-options "
            f'"{key}.metainfo.classes=[{classes}]"'
        ]
    if not isinstance(classes, (list, tuple)):
        return []
    problems = [
        f'model.{head}.num_classes is {count} and {key}.metainfo names {len(classes)} classes: set the one or '
        'correct the other'
        for head, count in heads.items()
        if count != len(classes)
    ]
    path = osp.expanduser(osp.join(dataset.get('data_root') or '', dataset.get('ann_file') or ''))
    if with_categories and str(dataset['type']).endswith('CocoDataset') and osp.isfile(path):
        try:
            problem = category_problem(list(coco_categories(path).values()), classes, path)
        except UserError as error:
            problem = str(error)
        problems += [f'{key}: {problem}'] if problem else []
    return problems


def _head_classes(node: Any, path: str = '') -> Iterator[tuple[str, int]]:
    """Dotted name of a head in a model's config -> its number of classes."""
    if isinstance(node, Mapping):
        if is_class_head(path) and isinstance(node.get('num_classes'), int):
            yield path, node['num_classes']
        for name, inner in node.items():
            yield from _head_classes(inner, f'{path}.{name}' if path else str(name))
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for index, inner in enumerate(node):
            yield from _head_classes(inner, f'{path}.{index}')


def _is_local(path: str) -> bool:
    return '://' not in path
