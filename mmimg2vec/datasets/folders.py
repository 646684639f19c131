"""Building a dataset with errors that say which folder is meant and where the config names it."""

from __future__ import annotations

import os.path as osp
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.registry import Registry

from mmimg2vec.datasets.image_files import find_samples
from mmimg2vec.datasets.lists import check_list
from mmimg2vec.datasets.maps import watch_maps
from mmimg2vec.datasets.stored import StoredImages
from mmimg2vec.errors import UserError

# The file that a folder of shards has, and what its dataset takes of the settings of a folder dataset.
_INDEX = 'index.json'
_SHARDED = ('data_root', 'data_prefix', 'split', 'pipeline', 'with_label', 'metainfo')
# Datasets whose annotation file is a list with a line per sample -> whether it may have labels.
_LISTED = {'CustomDataset': True, 'ImageNet': True, 'CaptionDataset': True, 'BaseSegDataset': False}


def build_dataset(dataset: Any, registry: Registry, config_key: str, classes: Sequence[str] | None = None) -> Any:
    """Build and fully read a dataset.

    The samples of mmpretrain's folder datasets are those of :func:`~mmimg2vec.datasets.image_files.find_samples`.

    Args:
        dataset: Config of a dataset, or a dataset, which is returned as it is.
        registry: Where to build it.
        config_key: Where the config of the dataset stands, for error messages.
        classes: Names of the classes that its folders belong to, where the config does not name them: those of the
            images that a model is trained on, or that vote.

    Raises:
        UserError: Its folder or annotation file is missing or empty, or its folders do not match its classes.
        ValueError: The dataset raised it, for a reason of its own.
        RuntimeError: Likewise.
        AssertionError: Likewise.
    """
    if not isinstance(dataset, dict):
        return dataset
    check_data_paths(dataset, config_key)
    dataset = _of_stored(dataset, registry, config_key)
    cure = f'{_where(dataset)}: {_cure(config_key)}'
    try:
        of_folders = hasattr(_type(dataset, registry), '_find_samples') and _is_local(_where(dataset))
        built = registry.build({**dataset, 'lazy_init': True} if of_folders else dataset)
        if of_folders:
            built._find_samples = partial(find_samples, built, classes, config_key)
        if hasattr(built, 'use_classes'):
            built.use_classes(classes, config_key)
        if hasattr(built, 'full_init'):
            built.full_init()
    except FileNotFoundError as error:
        raise UserError(f'{error} (while reading {cure})') from error
    except ValueError as error:  # numpy's, of the list without entries that mmengine hands it
        if 'at least one array' in str(error):
            other = _other_files(dataset, config_key)
            if other and 'img_suffix' in other:
                raise UserError(f'no samples are left in {_where(dataset)}{other}') from error
            raise UserError(
                f'no samples are left in {cure}; look also at its classes, filter_cfg and indices'
            ) from error
        raise
    except (RuntimeError, AssertionError) as error:
        # What mmpretrain's folder datasets say of an empty folder, and of one with other classes.
        if 'number of subfolders' in str(error).lower():
            raise UserError(
                f'{" ".join(str(error).split())} For unlabeled images set with_label=False ({cure})'
            ) from error
        raise
    if len(built) == 0:
        raise UserError(f'no images in {cure}')
    for base in base_datasets(built):
        watch_maps(base, config_key)
    return built


def base_datasets(dataset: Any) -> Iterator[Any]:
    """The datasets inside ``SeededDataset``, ``RepeatDataset``, ``ConcatDataset`` and other wrappers."""
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    if inner[0] is None:
        yield dataset
        return
    for part in inner:
        yield from base_datasets(part)


def _of_stored(dataset: dict, registry: Registry, config_key: str) -> dict:
    """The config as it is built: a folder dataset whose folder holds shards becomes a dataset of these."""
    kind = _type(dataset, registry)
    if hasattr(kind, '_find_samples') and osp.isfile(osp.join(_where(dataset), _INDEX)):
        kept = {key: value for key, value in dataset.items() if key in _SHARDED}
        return {**kept, 'type': 'mmimg2vec.ShardedImages', 'config_key': config_key}
    if isinstance(kind, type) and issubclass(kind, StoredImages):
        return {**dataset, 'config_key': config_key}
    return dataset


def check_data_paths(dataset: Mapping, config_key: str) -> None:
    """Check that the local folders and the annotation file that a dataset config names exist.

    Args:
        dataset: Config with any of ``data_root``, ``data_prefix`` (string or dict), ``split``, ``ann_file``.
        config_key: Where it stands in the config, for error messages.

    Raises:
        UserError: One of them does not exist; names it and the key to set.
    """
    root = dataset.get('data_root') or ''
    prefixes = dataset.get('data_prefix') or dataset.get('split') or ''
    prefixes = prefixes.values() if isinstance(prefixes, dict) else [prefixes]
    has_annotations = bool(dataset.get('ann_file'))
    for prefix in dict.fromkeys(['', *prefixes]):
        folder = _join(root, prefix)
        # With an annotation file the prefix may be the beginning of file names rather than a folder.
        is_folder = folder and _is_local(folder) and not (has_annotations and prefix)
        if is_folder and not osp.isdir(folder):
            raise UserError(f'no data folder {folder}: {_cure(config_key)}')
    for key in ('ann_file', 'proposal_file'):
        suffix = osp.splitext(str(dataset.get(key) or ''))[1].lower()
        if suffix in ('.pkl', '.pickle', '.yaml', '.yml') or (key == 'proposal_file' and dataset.get(key)):
            raise UserError(
                f'{config_key}.{key}={dataset[key]}: annotations are read from JSON and text only, since a pickle can '
                'run code: convert it' + (', or leave proposal_file out' if key == 'proposal_file' else '')
            )
    if has_annotations:
        ann_file = _join(root, dataset['ann_file'])
        if _is_local(ann_file) and not osp.isfile(ann_file):
            raise UserError(
                f'no annotation file {ann_file}: set ann_file in the config, or pass '
                f'--cfg-options {config_key}.ann_file=FILE'
            )
        kind = str(dataset.get('type')).split('.')[-1]
        if _is_local(ann_file) and ann_file.endswith('.txt') and kind in _LISTED:
            check_list(ann_file, _LISTED[kind] and dataset.get('with_label', True), config_key)


def _other_files(dataset: Mapping, config_key: str) -> str:
    """What a folder without images holds instead, where the dataset looks for some endings only."""
    root, key = Path(_where(dataset)), 'extensions'
    endings = Counter(path.suffix for path in root.rglob('*') if path.is_file() and path.suffix)
    if dataset.get('seg_map_suffix') or str(dataset.get('type')).endswith('SegDataset'):
        key = 'img_suffix'
        del endings[dataset.get('img_suffix', '.jpg')]
    if not endings:
        return ''
    ending, count = endings.most_common(1)[0]
    value = f"['{ending}']" if key == 'extensions' else f"'{ending}'"
    return f'; it holds {count} files {ending}: to read them set {config_key}.{key}={value}'


def _type(dataset: Mapping, registry: Registry) -> Any:
    kind = dataset.get('type')
    if not isinstance(kind, str):
        return kind
    with registry.switch_scope_and_registry(None) as scoped:  # the default scope, as in building
        return scoped.get(kind)


def _cure(config_key: str) -> str:
    return f'set data_root in the config, or pass --cfg-options {config_key}.data_root=FOLDER'


def _where(dataset: Mapping) -> str:
    prefix = dataset.get('data_prefix') or dataset.get('split') or ''
    if isinstance(prefix, dict):
        prefix = prefix.get('img_path') or prefix.get('img') or ''
    return _join(dataset.get('data_root') or '', prefix) or dataset.get('ann_file') or dataset['type']


def _join(root: str, path: str) -> str:
    return osp.join(osp.expanduser(str(root)), osp.expanduser(str(path))) if path else osp.expanduser(str(root))


def _is_local(path: str) -> bool:
    return '://' not in path
