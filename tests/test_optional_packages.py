"""The package imports and pre-trains where mmdet, mmseg, timm, transformers and datasets are not installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OPTIONAL = ('mmdet', 'mmseg', 'timm', 'transformers', 'datasets')
# Their metadata has to be absent too: mmpretrain asks for that, rather than importing.
DISTRIBUTIONS = ('mmdet', 'onedl_mmdetection', 'mmsegmentation', 'onedl_mmsegmentation')

PROGRAM = """
import importlib.util
for name in {optional!r}:
    assert importlib.util.find_spec(name) is None, name
import torch
import mmimg2vec, mmimg2vec.datasets, mmimg2vec.engine, mmimg2vec.evaluation
from mmengine.registry import init_default_scope
from mmimg2vec.environment import require
from mmimg2vec.errors import UserError
from mmimg2vec.registry import MODELS

init_default_scope('mmpretrain')
torch.manual_seed(0)
model = MODELS.build(dict(
    type='mmimg2vec.Img2Vec',
    backbone=dict(
        type='mmimg2vec.MaskedVisionTransformer', img_size=64, patch_size=16,
        arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64),
    ),
    target_generator=dict(
        type='mmimg2vec.BackboneTargetGenerator', random_weights=0,
        teacher=dict(type='mmpretrain.ResNet', depth=18), input_size=128,
    ),
    neck=dict(type='mmimg2vec.CrossAttentionDecoder', embed_dims=32, depth=1, num_heads=2),
    head=dict(type='mmimg2vec.FeatureHead'),
))
model.init_weights()
from mmimg2vec.models.utils import TokenMask
rank = torch.rand(2, 16).argsort(1)
losses = model(
    torch.randn(2, 3, 64, 64), mask=TokenMask.checked(rank >= 4, rank), mode='loss'
)
total = sum(value for name, value in losses.items() if 'loss' in name)
total.backward()
assert model.backbone.patch_embed.projection.weight.grad.abs().sum() > 0
try:
    require('mmdet', 'a detector', 'onedl-mmdetection')
except UserError as error:
    assert 'a detector needs the package mmdet' in str(error)
else:
    raise AssertionError('mmdet was found')
print('pre-trained without them')
"""


@pytest.fixture
def without_optional(tmp_path):
    """A folder of links to everything that is installed, but for the optional packages."""
    left_out = {name.lower() for name in OPTIONAL + DISTRIBUTIONS}
    for entry in sys.path:
        if not entry.endswith(('site-packages', 'dist-packages')) or not os.path.isdir(entry):
            continue
        for name in os.listdir(entry):
            package = name.split('-')[0].split('.')[0].lower()
            if package in left_out or name.endswith('.pth') or (tmp_path / name).is_symlink():
                continue
            (tmp_path / name).symlink_to(os.path.join(entry, name))
    return tmp_path


def test_pre_training_needs_none_of_them(without_optional):
    result = subprocess.run(
        # -S: without the site-packages of this interpreter
        [sys.executable, '-S', '-c', PROGRAM.format(optional=OPTIONAL)],
        env={
            **os.environ,
            'PYTHONPATH': os.pathsep.join((str(ROOT), str(without_optional))),
            'OMP_NUM_THREADS': '1',
        },
        # OpenCV searches itself from the second entry of sys.path on, and the first is the current folder.
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert 'pre-trained without them' in result.stdout
