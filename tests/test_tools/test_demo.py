"""The demo, from drawing the images to the summary, and its configs through the other ways to start them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmpretrain.models.backbones import VisionTransformer

ROOT = Path(__file__).resolve().parents[2]
IMG2VEC = next((ROOT / 'configs' / 'demo').glob('img2vec_*.py'))
# One step of 32 images.
SHORT = ['train_cfg.max_epochs=2', 'param_scheduler.1.end=2', 'train_dataloader.batch_size=32']


def run(*command, **environment):
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', **environment}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp('demo')
    command = [
        sys.executable,
        'tools/demo.py',
        '--out',
        folder / 'out',
        '--epochs-factor',
        0.01,
        '--scenes',
        40,
    ]
    output = run(*command, IMG2VEC_SHAPES=str(folder / 'shapes'))
    return folder, command, output


def test_summary_and_pictures(demo):
    folder, command, output = demo
    assert 'Traceback' not in output
    out = folder / 'out'
    rows = {row['arm']: row for row in json.loads((out / 'results.json').read_text())}
    assert list(rows) == ['random', 'teacher', 'mae', 'img2vec']
    assert all(0 <= row['knn'] <= 100 and 0 <= row['linear'] <= 100 for row in rows.values())
    for name in ('summary.md', 'accuracy.png', 'features.png'):
        assert (out / name).stat().st_size > 500
    assert '| Img2Vec (teacher features) |' in output
    # A second run finds everything done.
    again = run(*command, IMG2VEC_SHAPES=str(folder / 'shapes'))
    assert again.count('finished before') == 3
    assert json.loads((out / 'results.json').read_text())[3] == rows['img2vec']


def check_run(work_dir):
    """No teacher in the checkpoint, and a backbone that a plain ViT takes up whole."""
    latest = Path((work_dir / 'last_checkpoint').read_text())
    checkpoint = torch.load(latest, weights_only=True)
    assert not any('target_generator' in key for key in checkpoint['state_dict'])
    assert checkpoint['meta']['epoch'] == 2
    plain = VisionTransformer(
        arch=dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512),
        img_size=64,
        patch_size=8,
        out_type='raw',
    )
    exported = torch.load(work_dir / 'backbone.pth', weights_only=True)['state_dict']
    for state in (checkpoint['state_dict'], exported):
        backbone = {
            k.removeprefix('backbone.'): v for k, v in state.items() if k.startswith('backbone.')
        }
        result = plain.load_state_dict(backbone)
        assert not result.missing_keys and not result.unexpected_keys


def environment(folder):
    teacher = folder / 'out' / 'seed0' / 'teacher' / 'backbone.pth'
    return dict(IMG2VEC_SHAPES=str(folder / 'shapes'), IMG2VEC_TEACHER=str(teacher))


def test_mim_train_mmpretrain(demo, tmp_path):
    command = [sys.executable, '-m', 'mim', 'train', 'mmpretrain', IMG2VEC, '--work-dir', tmp_path]
    run(*command, '--cfg-options', *SHORT, **environment(demo[0]))
    check_run(tmp_path)


def test_dist_train_with_two_processes(demo, tmp_path):
    command = ['bash', 'tools/dist_train.sh', IMG2VEC, 2, '--work-dir', tmp_path]
    run(*command, '--cfg-options', *SHORT, PYTHON=sys.executable, **environment(demo[0]))
    check_run(tmp_path)
