"""The chains of CAE v2 and MFF on few images, from the images to a detector."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# 40 scenes give 180 crops: one step of pre-training.
CHAIN = """
_base_ = ['{root}/configs/chains/{method}_shapes.py']
env = dict(IMG2VEC_SHAPES='{shapes}')
_wanted = ('clip', 'pretrain', 'detect', 'detect-scratch', 'probe', 'probe-scratch')
_images = dict(
    name='images',
    command='tools/dataset_converters/shapes.py --out {shapes} --scenes 40 --val-scenes 6',
    makes=['{shapes}'],
)
_short = {{'train_cfg.max_epochs': 1, 'param_scheduler.1.end': 2}}


def _shortened(stage):
    return dict(stage, options={{**stage.get('options', {{}}), **_short}}) if 'config' in stage else stage


stages = [_images, *[_shortened(s) for s in _base_.stages if s['name'] in _wanted]]
"""


@pytest.mark.slow
@pytest.mark.parametrize('method', ['cae-v2', 'mff'])
def test_from_images_to_detector(method, tmp_path):
    config, work_dir = tmp_path / 'chain.py', tmp_path / 'work'
    config.write_text(CHAIN.format(root=ROOT, method=method, shapes=tmp_path / 'shapes'))
    result = subprocess.run(
        [sys.executable, 'tools/chain.py', str(config), '--work-dir', str(work_dir)],
        cwd=ROOT,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    report = (work_dir / 'report.md').read_text()
    assert 'Not finished' not in report and 'No pictures' not in report
    for measure in ('box AP', 'mask AP', 'kNN, class token', 'linear, patch mean'):
        assert re.search(rf'\| {measure} \| [\d.]+ \| [\d.]+ \| [+-][\d.]+ \|', report), measure
    introduction = report[: report.index('## Results')]
    assert ('**The teacher saw captions**' in introduction) == (method == 'cae-v2')
    # Its minutes are listed with the others.
    assert bool(re.search(r'\| Teacher: a tiny CLIP, on captions \| [\d.]+ \| 20', report)) == (method == 'cae-v2')
    console = (work_dir / 'detect' / 'console.log').read_text()
    filled = re.search(r'backbone: (\d+) of (\d+) tensors filled', console)
    assert filled and filled[1] == filled[2]
    assert ('model.backbone.layer_scale_init_value=0.1' in console) == (method == 'cae-v2')
    assert 'random weights' in (work_dir / 'detect-scratch' / 'console.log').read_text()
