"""tools/probe.py classifies by a real backbone.pth, and says what is wrong with another file."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from tool_scripts import load_tool

from mmimg2vec.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/benchmarks/classification/vit_8xb128-knn_in1k.py'
ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=24)
CLASSES = ('dark', 'bright')


def write_images(folder, per_class):
    rng = np.random.RandomState(0)
    for split in ('train', 'val'):
        for index, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for number in range(per_class):
                image = rng.randint(120 * index, 120 * index + 30, (40, 48, 3), dtype=np.uint8)
                cv2.imwrite(str(folder / split / name / f'{number}.png'), image)


def write_backbone(path, **changes):
    torch.manual_seed(0)
    model = MODELS.build(dict(type='mmpretrain.VisionTransformer', arch={**ARCH, **changes}, img_size=32))
    model.init_weights()
    state = {f'backbone.{key}': value for key, value in model.state_dict().items()}
    torch.save({'state_dict': state}, path)
    return path


@pytest.fixture
def config(tmp_path, monkeypatch):
    """The shipped config with a small backbone, on images that brightness tells apart."""
    # Seconds for what goes into the log only.
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    monkeypatch.setattr('mmengine.config.Config.pretty_text', '')
    write_images(tmp_path / 'images', per_class=3)
    text = f"""
_base_ = [{str(CONFIG)!r}]
model = dict(backbone=dict(arch=dict(_delete_=True, **{ARCH}), img_size=32,
    init_cfg=dict(checkpoint={str(tmp_path / 'backbone.pth')!r})))
data = dict(data_root={str(tmp_path / 'images')!r}, metainfo=dict(classes={CLASSES}))
pipeline = [dict(type='mmimg2vec.LoadImage'), dict(type='CenterCrop', crop_size=32), dict(type='PackInputs')]
knn = dict(
    k=3,
    bank_dataloader=dict(num_workers=0, batch_size=4, dataset=dict(pipeline=pipeline, **data)),
    query_dataloader=dict(num_workers=0, batch_size=4, dataset=dict(pipeline=pipeline, **data)),
)
work_dir = {str(tmp_path / 'run')!r}
log_level = 'ERROR'
"""
    path = tmp_path / f'{tmp_path.name}.py'
    path.write_text(text)
    return path


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr('sys.argv', ['probe.py', *map(str, arguments)])
    load_tool('probe').main()


def test_images_that_brightness_tells_apart(config, tmp_path, monkeypatch):
    write_backbone(tmp_path / 'backbone.pth')
    run_tool(monkeypatch, config)
    found = json.loads((tmp_path / 'run' / 'results.json').read_text())
    assert found['knn'] == 100
    assert 0 <= found['knn_cls'] <= 100


def test_the_checkpoint_on_the_command_line_is_the_one_that_counts(config, tmp_path, monkeypatch):
    other = write_backbone(tmp_path / 'other.pth')
    options = ['--cfg-options', "knn.pools=['mean']", 'knn.linear=True']
    run_tool(monkeypatch, config, other, *options)
    found = json.loads((tmp_path / 'run' / 'results.json').read_text())
    assert found == {'knn': 100, 'linear': 100}


def test_random_weights(config, tmp_path, monkeypatch):
    run_tool(monkeypatch, config, '--random')
    assert 'knn' in json.loads((tmp_path / 'run' / 'results.json').read_text())
    with pytest.raises(UserError, match='leave out'):
        run_tool(monkeypatch, config, 'other.pth', '--random')


def test_a_checkpoint_that_leaves_something_random(config, tmp_path, monkeypatch):
    damaged = write_backbone(tmp_path / 'damaged.pth')
    state = torch.load(damaged)['state_dict']
    del state['backbone.layers.1.ln1.weight']
    torch.save({'state_dict': state}, damaged)
    with pytest.raises(UserError, match=r'damaged\.pth'):
        run_tool(monkeypatch, config, damaged)


def test_the_architecture_is_the_files(config, tmp_path, monkeypatch, capsys):
    shallow = write_backbone(tmp_path / 'shallow.pth', num_layers=1)
    run_tool(monkeypatch, config, shallow)
    assert "'num_layers': 1" in capsys.readouterr().err
    assert 'knn' in json.loads((tmp_path / 'run' / 'results.json').read_text())
    wide = write_backbone(tmp_path / 'wide.pth', embed_dims=48)
    with pytest.raises(UserError, match=r'is 48 wide, not 24: add --cfg-options model\.backbone\.arch=NAME'):
        run_tool(monkeypatch, config, wide)


def test_a_config_without_knn(monkeypatch):
    with pytest.raises(UserError, match='has no `knn`'):
        run_tool(monkeypatch, CONFIG.with_name('vit-base-p16_8xb128-coslr-100e_in1k.py'))
