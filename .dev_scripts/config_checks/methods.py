"""Whether a downstream config says which pre-training its backbone comes from."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import ConfigDict

from config_checks.benchmarks import BenchmarkName, task_model
from config_checks.names import EMBEDDED_DATA

# Folder of a family -> its method in the names of its benchmarks. Img2Vec's, which were the first, have none.
METHODS = {'img2vec': None, 'mff': 'mff', 'cae_v2': 'cae-v2'}
# CAE v2's sizes: 12 heads at every width but the largest.
CAE_V2_SIZES = ('tiny-h12', 'small-h12', 'base', 'large')


def family_folder(file: Path) -> Path:
    """The family's folder, such as ``configs/mff``, that a file below its ``benchmarks`` belongs to."""
    return file.parents[len(file.parts) - 1 - file.parts.index('benchmarks')]


def check_method(cfg: ConfigDict, name: BenchmarkName, file: Path) -> list[str]:
    """Whether the method of pre-training in the name is that of the folder, and can have made such a backbone."""
    problems = []
    if 'benchmarks' in file.parts:
        folder = family_folder(file).name
        wanted = METHODS.get(folder)
        if name.method != wanted:
            problems.append(
                f'the method of pre-training in its name is {name.method}, that of the folder {folder} is {wanted}'
            )
    elif name.method not in METHODS.values():
        problems.append(f'{name.method}-pre in its name is no method of pre-training')
    if name.method == 'cae-v2':
        backbone = task_model(cfg).get('backbone', {})
        if not backbone.get('layer_scale_init_value'):
            problems.append('model.backbone.layer_scale_init_value is 0, and CAE v2 has LayerScale')
        if not backbone.get('qkv_bias', True):
            problems.append('model.backbone.qkv_bias is False, and CAE v2 has biases')
        size = name.model.split('-', 1)[1]
        if name.data != EMBEDDED_DATA and size not in CAE_V2_SIZES:
            problems.append(f'CAE v2 has no {size}, but {", ".join(CAE_V2_SIZES)}')
    return problems
