"""tools/train.py as a user starts it: mistakes in one line, a toy run, the same run resumed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]

TOY_MODULE = """
import torch
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS


@MODELS.register_module()
class ToyLine(BaseModel):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(4, 1)

    def forward(self, x, mode='tensor'):
        value = self.line(x)
        return {'loss': (value - 1).square().mean()} if mode == 'loss' else value


@DATASETS.register_module()
class ToyNumbers(torch.utils.data.Dataset):
    METAINFO = {}

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return {'x': torch.full((4,), index / 8)}
"""

TOY_CONFIG = """
custom_imports = dict(imports=['mmimg2vec', 'toy_parts'])
default_scope = 'mmengine'
model = dict(type='ToyLine')
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='ToyNumbers'),
    collate_fn=dict(type='default_collate'),
)
train_cfg = dict(by_epoch=True, max_epochs=1)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
auto_scale_lr = dict(base_batch_size=8)
# The checkpoints of mmengine alone hold objects, which the safe loader declines.
custom_hooks = [dict(type='mmimg2vec.SafeCheckpointHook')]
"""


@pytest.fixture
def toy(tmp_path):
    (tmp_path / 'toy_parts.py').write_text(TOY_MODULE)
    config = tmp_path / 'toy_run.py'
    config.write_text(TOY_CONFIG)
    return config


def train(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    paths = os.pathsep.join((str(ROOT), str(folder)))
    return subprocess.run(
        [sys.executable, str(ROOT / 'tools' / 'train.py'), *arguments],
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': paths, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def assert_one_line(result: subprocess.CompletedProcess, *parts: str) -> None:
    lines = [line for line in result.stderr.splitlines() if 'Warning' not in line]
    assert result.returncode == 2, result.stderr
    assert 'Traceback' not in result.stderr
    assert lines[-1].startswith('mmimg2vec: error: ')
    for part in parts:
        assert part in lines[-1]


def test_a_toy_config_trains_and_resumes(toy):
    result = train(toy.parent, str(toy), '--seed', '3', '--auto-scale-lr')
    assert result.returncode == 0, result.stderr
    work_dir = toy.parent / 'work_dirs' / 'toy_run'
    assert (work_dir / 'epoch_1.pth').exists()
    # 4 of the 8 samples that the learning rate is meant for
    checkpoint = torch.load(work_dir / 'epoch_1.pth', weights_only=True)
    assert checkpoint['optimizer']['param_groups'][0]['lr'] == 0.05

    result = train(toy.parent, str(toy), '--resume', '--cfg-options', 'train_cfg.max_epochs=2')
    assert result.returncode == 0, result.stderr
    assert 'resumed epoch: 1' in result.stdout + result.stderr
    assert (work_dir / 'epoch_2.pth').exists()


def test_an_unknown_config_names_the_near_ones(tmp_path):
    (tmp_path / 'configs' / 'demo').mkdir(parents=True)
    (tmp_path / 'configs' / 'demo' / 'img2vec_tiny.py').write_text('')
    result = train(tmp_path, 'configs/img2vec_tinny.py')
    assert_one_line(result, 'no config file configs/img2vec_tinny.py', 'configs/demo/img2vec_tiny.py')


class TestInThisProcess:
    """The same functions without the seconds that a process costs."""

    @pytest.mark.parametrize('option', ['train_cfg.max_epochs', '=3', 'key=[1,2'])
    def test_options_that_are_no_pairs(self, option):
        import argparse

        from mmimg2vec.engine import command_line
        from mmimg2vec.errors import UserError

        parser = argparse.ArgumentParser()
        command_line.add_common_arguments(parser)
        with pytest.raises(UserError, match='--cfg-options'):
            parser.parse_args(['--cfg-options', 'a=1', option])
        assert parser.parse_args(['--cfg-options', 'a.b=[1,2]']).cfg_options == {'a.b': [1, 2]}

    def test_options_that_do_not_fit(self, toy):
        from mmengine.config import Config

        from mmimg2vec.errors import UserError
        from mmimg2vec.utils import config as config_module

        sys.path.insert(0, str(toy.parent))
        try:
            with pytest.raises(UserError, match=r'--cfg-options do not fit .*toy_run\.py'):
                config_module.load_config(str(toy), {'default_scope.name': 1})
            broken = toy.with_name('broken.py')
            broken.write_text('model = dict(')
            with pytest.raises(UserError, match=r'broken\.py cannot be read'):
                config_module.load_config(str(broken))
        finally:
            sys.path.remove(str(toy.parent))
        cfg = Config({'train_cfg': {'max_epochs': 1}, 'model': {'type': 'X'}})
        notes = config_module.unknown_options(cfg, {'train_cfg.max_epoch': 3, 'model.depth': 1})
        assert notes == ['--cfg-options adds train_cfg.max_epoch, which the config does not have; it has "max_epochs"']

    def test_work_dir_and_dataloader_defaults(self, toy):
        from mmengine.config import Config

        from mmimg2vec.engine import command_line

        cfg = Config.fromfile(toy, import_custom_modules=False)
        command_line.set_work_dir(cfg, None)
        assert cfg.work_dir == os.path.join('work_dirs', 'toy_run')
        command_line.set_work_dir(cfg, 'elsewhere')
        command_line.set_work_dir(cfg, None)
        assert cfg.work_dir == 'elsewhere'

        for scope, expected in (('mmpretrain', {'type': 'default_collate'}), ('mmdet', None)):
            loader = {'num_workers': 0}
            cfg = Config({'default_scope': scope, 'train_dataloader': loader})
            command_line.set_dataloader_defaults(cfg)
            assert cfg.train_dataloader.get('collate_fn') == expected
            assert not cfg.train_dataloader.get('persistent_workers')
