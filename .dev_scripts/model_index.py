"""The index that ``mim search`` and ``mim download`` read, from the names and heads of the configs.

``setup.py`` writes it into the package beside the configs. It runs where nothing is installed yet, so it imports the
standard library alone. JSON is YAML too.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent))

from config_checks.names import EMBEDDED_DATA, ConfigName, parse_name

FILE = 'model-index.yml'
# Folders of configs, each a collection; its README names the collection and the paper.
COLLECTIONS = ('img2vec', 'cae_v2', 'mff', 'benchmarks', 'own_labels')
DATA = {
    'in1k': 'ImageNet-1k',
    'coco': 'COCO',
    'ade20k': 'ADE20K',
    'own-images': 'images of your own',
    'own-classes': 'classes of your own',
    'own-coco': 'classes of your own in COCO format',
    'own-maps': 'classes of your own in maps',
}
TASKS = {
    None: 'Image Classification',
    'mask-rcnn': 'Object Detection',
    'cascade-mask-rcnn': 'Object Detection',
    'upernet': 'Semantic Segmentation',
    'fcn': 'Semantic Segmentation',
}


def model_index(root: Path) -> dict[str, Any]:
    """Collections and models of the configs below ``root/configs``; the demo's, which no paper knows, are left out.

    Raises:
        ValueError: The name of a config is none.
    """
    collections, models = [], []
    for folder in COLLECTIONS:
        readme = root / 'configs' / folder / 'README.md'
        collection = _collection(root, readme)
        collections.append(collection)
        for config in sorted(readme.parent.rglob('*.py')):
            name = parse_name(config.stem)
            if name is None:
                raise ValueError(
                    f'{config}: its name does not follow the grammar of .dev_scripts/config_checks/names.py'
                )
            if name.data != EMBEDDED_DATA:
                models.append(_model(config.relative_to(root), name, collection['Name'], _head(config)))
    return {'Collections': collections, 'Models': models}


def write_model_index(root: Path, folder: Path) -> None:
    """Write the index into the folder that holds the copied or linked ``configs``."""
    text = json.dumps(model_index(root), indent=1, ensure_ascii=False)
    (folder / FILE).write_text(text + '\n', encoding='utf-8')


def _collection(root: Path, readme: Path) -> dict[str, Any]:
    text = readme.read_text(encoding='utf-8')
    found: dict[str, Any] = {
        'Name': text.splitlines()[0].lstrip('# ').split(':')[0],
        'README': readme.relative_to(root).as_posix(),
        'Metadata': {'Architecture': ['ViT']},
    }
    paper = re.search(r'https://arxiv\.org/abs/[\d.]+', text)
    if paper:
        found['Paper'] = {'URL': paper[0]}
    return found


def _head(config: Path) -> str:
    head = ast.get_docstring(ast.parse(config.read_text(encoding='utf-8'))) or ''
    return head.partition('\n')[0]


def _model(config: Path, name: ConfigName, collection: str, head: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        'Batch Size': name.gpus * name.batch * name.accumulation,
        'Training Data': DATA[name.data],
        'Description': head,
    }
    if name.length is not None:
        metadata['Epochs' if name.by_epoch else 'Iterations'] = name.length
    if name.downstream:
        metadata['Task'] = TASKS[name.head]
    # Neither results nor weights: nothing was trained at this size here. `mim download` goes on to the config only
    # where there is a name of weights: the empty one is there always.
    return {
        'Name': config.stem,
        'In Collection': collection,
        'Config': config.as_posix(),
        'Metadata': metadata,
        'Results': None,
        'Weights': [''],
    }
