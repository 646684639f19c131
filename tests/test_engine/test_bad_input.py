"""CAE v2 with input that cannot be meant: one line, before the first step."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mmimg2vec import UserError
from mmimg2vec.datasets.shapes import ShapesOptions, write_shapes
from mmimg2vec.engine.command_line import build_runner
from mmimg2vec.models import TargetGenerator
from mmimg2vec.models.target_generators.base import TargetLayout
from mmimg2vec.registry import MODELS, TRANSFORMS
from mmimg2vec.utils.config import load_config

ROOT = Path(__file__).resolve().parents[2]
CONFIG = next((ROOT / 'configs' / 'demo').glob('cae-v2_*.py'))
STEP = 'train_dataloader.dataset.dataset.pipeline.3'
TEACHER = 'model.target_generator.teacher'


@TRANSFORMS.register_module()
class MaskOfItsOwn:
    """A user's transform, without a fixed count or without a fixed size."""

    def __init__(self, size=(64, 64), hidden=(10, 40), **of_the_config):
        self.size, self.hidden = size, hidden

    def __call__(self, results):
        size = np.random.randint(self.size[0], self.size[1] + 1)
        mask = np.zeros(size, bool)
        mask[: np.random.randint(*self.hidden)] = True
        return {**results, 'mask': mask, 'token_rank': np.arange(size)}


@MODELS.register_module()
class OtherTokens(TargetGenerator):
    """A user's target generator that gives another number of tokens, and says so or does not."""

    def __init__(self, told, given=16):
        super().__init__()
        self.told, self.given = tuple(told), given

    def connect(self, *args):
        pass

    def describe(self, img_size):
        return TargetLayout(self.told, 64, 64)

    def load(self):
        pass

    def forward(self, images):
        return {
            'tokens': torch.zeros(len(images), self.given, 64),
            'pooled': torch.zeros(len(images), 64),
        }


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shapes')
    write_shapes(folder, ShapesOptions(scenes=4, val_scenes=2))
    return folder


@pytest.fixture
def start(shapes, tmp_path, monkeypatch):
    monkeypatch.setenv('IMG2VEC_SHAPES', str(shapes))

    def start(options, random_teacher=True):
        """Train the demo's config with changes; returns the complaint."""
        cfg = load_config(str(CONFIG), options)
        cfg.work_dir, cfg.experiment_name = str(tmp_path / 'work'), tmp_path.name
        cfg.custom_hooks = []
        cfg.train_dataloader.update(num_workers=0, persistent_workers=False, batch_size=8)
        if random_teacher and 'teacher' in cfg.model.target_generator:
            cfg.model.target_generator.random_weights = 0
            cfg.model.target_generator.teacher.init_cfg = None
        with pytest.raises(UserError) as caught:
            runner = build_runner(cfg)
            runner.train()
        assert not list((tmp_path / 'work').rglob('*.pth'))
        assert '\n' not in str(caught.value)
        return str(caught.value)

    return start


@pytest.fixture
def save(tmp_path):
    def save(content):
        torch.save(content, tmp_path / 'given.pth')
        return str(tmp_path / 'given.pth')

    return save


def theirs(first):
    state = {'encoder.cls_token': torch.zeros(1, 1, 128), 'mask_token': torch.zeros(1, 1, 96)}
    return {**state, 'alignment_encoder.cls_token': torch.zeros(1, 1, 128)} if first else state


class TestMasks:
    def test_of_another_size(self, start):
        told = start({f'{STEP}.patch_size': 16, f'{STEP}.min_block': 2})
        assert 'the masks have 16 tokens and the images 8 x 8 patches' in told

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            (dict(), 'mask between'),
            (dict(size=(30, 64), hidden=(10, 11)), '"mask" of the training samples differ in size'),
        ],
    )
    def test_uneven(self, start, options, message):
        changes = {f'{STEP}.{name}': value for name, value in options.items()}
        assert message in start({f'{STEP}.type': 'mmimg2vec.MaskOfItsOwn', **changes})


class TestTargets:
    def test_of_another_grid(self, start):
        told = start({f'{TEACHER}.patch_size': 16, 'model.target_generator.input_size': 64})
        assert '4 x 4 tokens' in told and 'the student has 8 x 8' in told

    @pytest.mark.parametrize(
        ('told', 'message'),
        [
            ((4, 4), 'OtherTokens gives 4 x 4 target tokens and the student has 8 x 8 patches'),
            ((8, 8), 'the target has 16 tokens per image and the mask 64 patches'),
        ],
    )
    def test_of_a_generator_of_ones_own(self, start, told, message):
        generator = 'model.target_generator'
        options = {f'{generator}._delete_': True, f'{generator}.type': 'mmimg2vec.OtherTokens'}
        assert message in start({**options, f'{generator}.told': told})


class TestFiles:
    def test_clip_without_a_visual_tower(self, start, save):
        path = save({'token_embedding.weight': torch.zeros(3, 4), 'logit_scale': torch.ones([])})
        told = start({f'{TEACHER}.init_cfg.checkpoint': path}, random_teacher=False)
        assert 'has no visual tower' in told and path in told

    @pytest.mark.parametrize('wrapped', [True, False])
    @pytest.mark.parametrize(
        ('state', 'message'),
        [
            (theirs(first=True), 'checkpoint of the first CAE, not of CAE v2'),
            ({'neck.regressors.0.ln1.weight': torch.ones(3)}, 'checkpoint of the first CAE'),
            (theirs(first=False), "names of CAE v2's authors: convert it with"),
        ],
    )
    def test_to_start_from(self, start, save, wrapped, state, message):
        told = start({'load_from': save({'model': state, 'epoch': 3} if wrapped else state)})
        assert message in told

    def test_first_cae_as_the_backbone(self, start, save):
        init = 'model.backbone.init_cfg'
        path = save({'model': theirs(first=True)})
        told = start({f'{init}.type': 'Pretrained', f'{init}.checkpoint': path})
        assert path in told  # it has two encoders, and neither fills the student

    def test_first_cae_as_the_teacher(self, start, save):
        path = save({'model': theirs(first=True)})
        told = start({f'{TEACHER}.init_cfg.checkpoint': path}, random_teacher=False)
        assert 'has no visual tower' in told and path in told

    def test_command_line(self, shapes, save, tmp_path):
        path = save({'model': theirs(first=True)})
        command = [sys.executable, 'tools/train.py', str(CONFIG), '--work-dir', str(tmp_path / 'w')]
        options = ['train_dataloader.batch_size=8', 'model.target_generator.random_weights=0']
        options += [f'{TEACHER}.init_cfg=None', f'load_from={path}']
        result = subprocess.run(
            [*command, '--cfg-options', *options],
            cwd=ROOT,
            env={**os.environ, 'IMG2VEC_SHAPES': str(shapes), 'OMP_NUM_THREADS': '1'},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert result.returncode == 2 and 'Traceback' not in result.stderr, result.stderr
        (line,) = [x for x in result.stderr.splitlines() if x.startswith('mmimg2vec: error')]
        assert 'checkpoint of the first CAE' in line
