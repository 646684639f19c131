"""The teachers in configs/_base_/teachers: their networks, and how a config takes one."""

import importlib.util

import pytest
from check_configs import ROOT
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmimg2vec.registry import MODELS

FOLDER = ROOT / 'configs' / '_base_' / 'teachers'
FILES = sorted(FOLDER.glob('*.py'))
WIDTHS = {'resnet50': 2048, 'small': 384, 'base': 768, 'lite0': 1280}


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_each_fits_a_student_of_196_tokens(file):
    generator = Config.fromfile(file).target_generator.to_dict()
    assert generator.pop('_delete_') and generator['dtype'] == 'bfloat16'
    if generator['teacher']['type'] == 'mmimg2vec.TimmTeacher' and not importlib.util.find_spec('timm'):
        pytest.skip('timm is not installed')
    init_default_scope('mmpretrain')
    built = MODELS.build(generator)
    built.connect((16, 16), 3, None, None)
    layout = built.describe((224, 224))
    assert layout.grid == (14, 14)
    assert layout.channels == next(width for name, width in WIDTHS.items() if name in file.stem)
    assert built.spec.size == ((196, 196) if 'p14' in file.stem else (224, 224))
    assert built.teacher is None  # nothing is downloaded


def test_they_are_the_ten():
    assert len(FILES) == 10


def test_a_pre_training_config_takes_one(tmp_path):
    base = ROOT / 'configs/img2vec/img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k.py'
    config = tmp_path / 'mine.py'
    config.write_text(
        f"_base_ = ['{base}', '{FOLDER / 'dino_vit-small-p16.py'}']\n"
        'model = dict(target_generator={{_base_.target_generator}})\n'
    )
    generator = Config.fromfile(config).model.target_generator
    assert generator.teacher.model_name == 'vit_small_patch16_224.dino'
    assert 'output_stride' not in generator and '_delete_' not in generator
    assert 'depth' not in generator.teacher
