"""The demo's chain on few images, killed twice on its way, and its configs through the other ways to start them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
import torch
from mmpretrain.models.backbones import VisionTransformer

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / 'configs' / 'demo'
IMG2VEC = next(DEMO.glob('img2vec_*.py'))
# 40 scenes give 180 crops: one step per epoch of pre-training.
CHAIN = """
_base_ = ['{root}/configs/chains/img2vec_shapes.py']
env = dict(IMG2VEC_SHAPES='{shapes}')
stages = [
    dict(
        name='images',
        command='tools/dataset_converters/shapes.py --out {shapes} --scenes 40 --val-scenes 6',
        makes=['{shapes}'],
    ),
    *_base_.stages[1:],
]
"""
STAGES = [
    *('images', 'teacher', 'detect-scratch', 'pretrain', 'probe', 'probe-scratch', 'detect'),
    *('segment', 'segment-scratch', 'finetune', 'finetune-scratch'),
]


def environment(**more):
    return {**os.environ, 'OMP_NUM_THREADS': '1', **more}


def run(*command, **more):
    result = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


def kill_when(command, path, pattern):
    """Start a chain, and kill it without warning as soon as a file appears."""
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 300
    while not list(path.glob(pattern)) and time.monotonic() < deadline:
        assert process.poll() is None, process.stdout.read().decode()[-3000:]
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp('demo')
    config, work_dir = folder / 'chain.py', folder / 'work'
    config.write_text(CHAIN.format(root=ROOT, shapes=folder / 'shapes'))
    command = [sys.executable, 'tools/chain.py', str(config), '--work-dir', str(work_dir)]
    kill_when(command, work_dir / 'pretrain', 'epoch_1.pth')
    kill_when(command, work_dir / 'detect', 'epoch_1.pth')
    return folder, command, run(*command)


def starts(folder):
    return (folder / 'console.log').read_text().count('$ ')


def test_every_stage_is_done_once(demo):
    folder, command, _ = demo
    work_dir = folder / 'work'
    records = {name: json.loads((work_dir / name / 'stage.json').read_text()) for name in STAGES}
    assert all(record['seconds'] > 0 for record in records.values())
    assert starts(work_dir / 'pretrain') == 2
    assert starts(work_dir / 'detect') == 2
    assert starts(work_dir / 'teacher') == starts(work_dir / 'images') == 1
    # What was interrupted went on, and did not begin again.
    for name in ('pretrain', 'detect'):
        assert 'resumed epoch: 1' in (work_dir / name / 'console.log').read_text()
    epochs = {'teacher': 8, 'pretrain': 8, 'detect': 4, 'segment': 6, 'finetune': 5}
    for name, epoch in epochs.items():
        assert (work_dir / name / f'epoch_{epoch}.pth').is_file()
    # A further run finds everything done.
    again = run(*command)
    assert again.count('finished before') == len(STAGES)
    assert {n: json.loads((work_dir / n / 'stage.json').read_text()) for n in STAGES} == records


def test_report(demo):
    folder, _, output = demo
    assert 'Traceback' not in output
    text = (folder / 'work' / 'report.md').read_text()
    for measure in ('top-1 accuracy', 'box AP', 'mask AP', 'mIoU', 'kNN, class token'):
        assert re.search(rf'\| {measure} \| [\d.]+ \| [\d.]+ \| [+-][\d.]+ \|', text), measure
    pictures = re.findall(r'\]\((pictures/[\w-]+\.png)\)', text)
    assert len(pictures) >= 9
    assert all((folder / 'work' / picture).stat().st_size > 1000 for picture in pictures)
    assert 'Not finished' not in text and 'No pictures' not in text
    # The page needs no other file.
    page = (folder / 'work' / 'report.html').read_text()
    assert page.count('src="data:image/png;base64,') == len(pictures)
    assert 'pictures/' not in page and 'http' not in page
    rows = json.loads((folder / 'work' / 'results.json').read_text())
    assert {row['stage'] for row in rows} == {'probe', 'finetune', 'detect', 'segment'}


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
        backbone = {k.removeprefix('backbone.'): v for k, v in state.items() if k.startswith('backbone.')}
        result = plain.load_state_dict(backbone)
        assert not result.missing_keys and not result.unexpected_keys


def inputs(demo):
    folder = demo[0]
    return dict(
        IMG2VEC_SHAPES=str(folder / 'shapes'),
        IMG2VEC_TEACHER=str(folder / 'work' / 'teacher' / 'backbone.pth'),
        IMG2VEC_BACKBONE=str(folder / 'work' / 'pretrain' / 'backbone.pth'),
    )


def distribution(name, original):
    """mim's name of a library: that of the maintained distribution, or of the original one."""
    try:
        metadata.version(f'onedl-{name}')
    except metadata.PackageNotFoundError:
        return original
    return name


# One step of 32 images.
SHORT = ['train_cfg.max_epochs=2', 'param_scheduler.1.end=2', 'train_dataloader.batch_size=32']


def test_mim_train_mmpretrain(demo, tmp_path):
    command = [sys.executable, '-m', 'mim', 'train', 'mmpretrain', IMG2VEC, '--work-dir', tmp_path]
    run(*command, '--cfg-options', *SHORT, **inputs(demo))
    check_run(tmp_path)


@pytest.mark.parametrize(
    ('library', 'config', 'metric'),
    [
        (distribution('mmdetection', 'mmdet'), 'mask-rcnn_*.py', 'coco/segm_mAP: '),
        ('mmsegmentation', 'upernet_*.py', 'mIoU: '),
    ],
)
def test_mim_train_downstream(demo, tmp_path, library, config, metric):
    config = next(DEMO.glob(config))
    command = [sys.executable, '-m', 'mim', 'train', library, config, '--work-dir', tmp_path]
    short = ['train_cfg.max_epochs=1', 'param_scheduler.1.end=2', 'train_cfg.val_interval=1']
    output = run(*command, '--cfg-options', *short, **inputs(demo))
    assert metric in output
    assert re.search(r'backbone: \d+ of \d+ tensors filled', output)
    assert (tmp_path / 'epoch_1.pth').is_file()


def test_dist_train_with_two_processes(demo, tmp_path):
    command = ['bash', 'tools/dist_train.sh', IMG2VEC, 2, '--work-dir', tmp_path]
    run(*command, '--cfg-options', *SHORT, PYTHON=sys.executable, **inputs(demo))
    check_run(tmp_path)


def test_a_stage_with_two_processes(demo, tmp_path):
    _, command, _ = demo
    command = [*command[:3], '--work-dir', tmp_path, '--only', 'images', 'finetune-scratch']
    output = run(*command, '--launcher', 'pytorch', '--gpus', 2)
    assert '[finetune-scratch] finished' in output
    console = (tmp_path / 'finetune-scratch' / 'console.log').read_text()
    assert 'dist_train.sh' in console and 'accuracy/top1' in console
    # 180 crops are one batch of 64 on each of two processes; on one process they would be two.
    assert torch.load(tmp_path / 'finetune-scratch' / 'epoch_5.pth', weights_only=True)['meta']['iter'] == 5
