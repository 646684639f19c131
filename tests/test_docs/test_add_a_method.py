"""A method added to a copy of the project by the list in CONTRIBUTING, step by step, and trained for one step."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest
from pages import ROOT

from mmimg2vec.datasets.shapes import ShapesOptions, write_shapes

PLACEHOLDERS = {'METHOD': 'toy', 'PART': 'one_block_decoder'}
PART = '''"""A decoder of one block."""

from typing import Any

from mmimg2vec.models.necks.decoders import CrossAttentionDecoder
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class OneBlockDecoder(CrossAttentionDecoder):
    """A ``CrossAttentionDecoder`` of one block."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, 'depth': 1})
'''
ALGORITHM = '''"""A method that nobody needs."""

from mmimg2vec.models.algorithms.masked_image_model import MaskedImageModel
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class Toy(MaskedImageModel):
    """The parts in their usual order."""
'''
CONTRACT = """

class TestOneBlockDecoder(NeckContract):
    def build(self):
        from mmimg2vec.models import OneBlockDecoder

        return OneBlockDecoder(self.channels, self.out_channels, self.grid, embed_dims=16, num_heads=2)
"""


def listed(**modules: str) -> Callable[[str], str]:
    """Import names in an ``__init__.py`` and list them."""

    def edit(text: str) -> str:
        for name, module in modules.items():
            text = f'from {module} import {name}\n{text}'.replace('__all__ = [', f"__all__ = [\n    '{name}',")
        return text

    return edit


def like(file: str, *changes: tuple[str, str]) -> Callable[[str], str]:
    """A file of another method, with another name in it."""

    def write(_: str) -> str:
        text = (ROOT / file).read_text(encoding='utf-8')
        for old, new in (*changes, ('img2vec_vit', 'toy_vit'), ('mff_vit', 'toy_vit')):
            text = text.replace(old, new)
        return text

    return write


def replaced(old: str, new: str) -> Callable[[str], str]:
    """Write something else in a file, wherever it stands."""

    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return edit


def written(new: str) -> Callable[[str], str]:
    """A file, or further lines at the end of one."""
    return lambda text: text + new


_DECODER = 'mmimg2vec.models.necks.one_block_decoder'
_CONFIG = 'img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k.py'
_DEMO = 'mff_vit-tiny-p8_1xb128-coslr-8e_shapes.py'
STEPS = {
    'mmimg2vec/models/necks/one_block_decoder.py': written(PART),
    'mmimg2vec/models/necks/__init__.py': listed(OneBlockDecoder=_DECODER),
    'mmimg2vec/models/algorithms/toy.py': written(ALGORITHM),
    'mmimg2vec/models/algorithms/__init__.py': listed(Toy='mmimg2vec.models.algorithms.toy'),
    'mmimg2vec/models/__init__.py': listed(OneBlockDecoder=_DECODER, Toy='mmimg2vec.models.algorithms.toy'),
    'tests/test_models/test_necks.py': written(CONTRACT),
    'configs/_base_/models/toy_vit-base-p16.py': like(
        'configs/_base_/models/img2vec_vit-base-p16.py',
        ('mmimg2vec.Img2Vec', 'mmimg2vec.Toy'),
        ("CrossAttentionDecoder', embed_dims=512, depth=2", "OneBlockDecoder', embed_dims=512"),
    ),
    f'configs/toy/{_CONFIG.replace("img2vec", "toy")}': like(f'configs/img2vec/{_CONFIG}'),
    'configs/toy/README.md': like('configs/img2vec/README.md', ('# Img2Vec', '# Toy')),
    f'configs/demo/{_DEMO.replace("mff", "toy")}': like(
        f'configs/demo/{_DEMO}',
        ('mmimg2vec.MFF', 'mmimg2vec.Toy'),
        ("SelfAttentionDecoder', embed_dims=96, depth=2", "OneBlockDecoder', embed_dims=96"),
    ),
    '.dev_scripts/config_checks/names.py': lambda text: replaced("'mff': 1.5e-4,", "'mff': 1.5e-4, 'toy': 1.5e-4,")(
        replaced("'mff': 75,", "'mff': 75, 'toy': 75,")(text)
    ),
    '.dev_scripts/model_index.py': replaced("'mff',", "'mff', 'toy',"),
    'docs/toy.md': written('# Toy\n'),
    'docs/index.md': replaced('\nmff\n', '\nmff\ntoy\n'),
    'README.md': replaced('| [MFF]', '| [Toy](docs/toy.md) | pixels | one block |\n| [MFF]'),
    'CHANGELOG.md': replaced('### Added\n', '### Added\n- Toy.\n'),
}


def steps_of_the_guide() -> list[str]:
    """The files that CONTRIBUTING names, in its order, under the names of this test's method."""
    text = (ROOT / 'CONTRIBUTING.md').read_text(encoding='utf-8').split('## Add a method', 1)[1]
    files = re.findall(r'^\d+\. `([^`]+)`', text, re.MULTILINE)
    for placeholder, name in PLACEHOLDERS.items():
        files = [re.sub(rf'{placeholder}(?![A-Z])', name, file) for file in files]
    return files


@pytest.fixture(scope='module')
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp('copy')
    for name in ('mmimg2vec', 'configs', 'tools', '.dev_scripts', 'docs', 'tests/helpers', 'tests/test_models'):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
    for name in ('README.md', 'CHANGELOG.md', 'pyproject.toml'):
        shutil.copy(ROOT / name, folder / name)
    for file in steps_of_the_guide():
        path = folder / file
        before = path.read_text(encoding='utf-8') if path.exists() else ''
        path.parent.mkdir(exist_ok=True)
        path.write_text(STEPS[file](before), encoding='utf-8')
    write_shapes(folder / 'data' / 'shapes', ShapesOptions(scenes=2, val_scenes=2))
    return folder


def run(folder, *words):
    """A Python command in the copy; its output, and an error where it fails."""
    environment = {**os.environ, 'PYTHONPATH': str(folder), 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


def test_the_guide_names_every_file():
    # What this test needs and the guide does not name, or the other way round, is a step that someone would miss.
    assert steps_of_the_guide() == list(STEPS)


def test_it_trains(copy):
    options = ['train_dataloader.batch_size=4', 'train_cfg.max_epochs=1', 'train_dataloader.num_workers=0']
    options += ['train_dataloader.persistent_workers=False', 'custom_hooks=[]', 'param_scheduler=[]']
    config = f'configs/demo/{_DEMO.replace("mff", "toy")}'
    output = run(copy, 'tools/train.py', config, '--work-dir', 'work', '--cfg-options', *options)
    assert 'loss_token' in output
    assert (copy / 'work' / 'epoch_1.pth').is_file()


def test_its_configs_agree_with_their_names(copy):
    run(
        copy, '.dev_scripts/check_configs.py', *(file for file in STEPS if re.match(r'configs/(toy|demo)/.*\.py', file))
    )


def test_its_part_keeps_the_contract(copy):
    output = run(
        copy, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'tests/test_models/test_necks.py', '-k', 'OneBlock'
    )
    assert re.search(r'[2-9] passed', output)


def test_mim_finds_it(copy):
    script = "import sys; sys.path.insert(0, '.dev_scripts'); from pathlib import Path; "
    script += 'from model_index import model_index; '
    output = run(copy, '-c', script + "print([m['Name'] for m in model_index(Path('.'))['Models']])")
    assert 'toy_vit-base-p16_8xb256-amp-coslr-300e_in1k' in output
