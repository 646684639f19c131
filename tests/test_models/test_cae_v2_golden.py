"""CAE v2 against numbers that its authors' code computed; see tests/data/golden/README.md."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import nn

from mmimg2vec.checkpoint.layouts.cae_v2 import to_authors, to_mmimg2vec
from mmimg2vec.models.target_generators import TargetGenerator, TargetLayout
from mmimg2vec.models.utils import TokenMask

FOLDERS = [Path(__file__).parents[1] / 'data' / 'golden']
if os.environ.get('IMG2VEC_GOLDEN'):
    FOLDERS.append(Path(os.environ['IMG2VEC_GOLDEN']))
FILES = [file for folder in FOLDERS for file in sorted(folder.glob('*.npz'))]


class GivenTokens(TargetGenerator):
    """The teacher's tokens of a file, class token first."""

    def __init__(self, tokens, grid):
        super().__init__()
        self.tokens, self.grid = tokens, grid

    def forward(self, images):
        return {'tokens': self.tokens[:, 1:], 'pooled': self.tokens[:, 0]}

    def describe(self, img_size):
        width = self.tokens.shape[-1]
        return TargetLayout(self.grid, width, width)


class Golden:
    """A file, and the model with its sizes and weights."""

    def __init__(self, file):
        with np.load(file) as content:
            arrays = {name: content[name] for name in content.files}
        self.meta = {k[5:]: v.item() for k, v in arrays.items() if k.startswith('meta/')}
        self.state, self.grad = (
            {k[len(kind) :]: torch.from_numpy(v) for k, v in arrays.items() if k.startswith(kind)}
            for kind in ('state/', 'grad/')
        )
        self.arrays = {k: torch.from_numpy(v) for k, v in arrays.items() if '/' not in k}
        self.mask = TokenMask.checked(self.arrays['mask'])
        assert self.mask.num_masked == int(self.meta['num_masked'])
        self.model = self.build()

    def build(self) -> nn.Module:
        meta = self.meta
        hidden_channels = self.state['encoder.blocks.0.mlp.fc1.weight'].shape[0]
        regressor_ratio = 4.0
        if 'regresser.regressor_blocks.0.mlp_cross.fc1.weight' in self.state:
            rows = self.state['regresser.regressor_blocks.0.mlp_cross.fc1.weight'].shape[0]
            regressor_ratio = rows / meta['regressor_dims']
        side = meta['img_size'] // meta['patch_size']
        model = MODELS.build(
            dict(
                type='mmimg2vec.CAEv2',
                backbone=dict(
                    type='mmimg2vec.MaskedVisionTransformer',
                    arch=dict(
                        embed_dims=meta['embed_dims'],
                        num_layers=meta['depth'],
                        num_heads=meta['num_heads'],
                        feedforward_channels=hidden_channels,
                    ),
                    img_size=meta['img_size'],
                    patch_size=meta['patch_size'],
                    in_channels=self.arrays['image'].shape[1],
                    key_bias=False,
                    layer_scale_init_value=meta['layer_scale'],
                ),
                neck=dict(
                    type='mmimg2vec.LatentRegressor',
                    embed_dims=meta['regressor_dims'],
                    depth=meta['regressor_depth'],
                    num_heads=meta['regressor_heads'],
                    mlp_ratio=regressor_ratio,
                    layer_scale_init_value=meta['layer_scale'],
                ),
                head=dict(type='mmimg2vec.TokenAlignmentHead'),
                target_generator=GivenTokens(self.arrays['teacher_tokens'], (side, side)),
            )
        )
        state, _ = to_mmimg2vec(self.state)
        model.load_state_dict(state, strict=True)
        model.eval()
        return model

    def loss(self):
        return self.model(self.arrays['image'], mode='loss', mask=self.mask)['loss_token']


@pytest.fixture(scope='module', params=FILES, ids=lambda file: file.stem)
def golden(request):
    return Golden(request.param)


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_there_are_files():
    assert {file.stem for file in FILES} >= {'cae_v2_same_width', 'cae_v2_projected'}


def test_encoder(golden):
    with torch.no_grad():
        latents = golden.model.encode(golden.arrays['image'], golden.mask)
    close(latents, golden.arrays['encoder_out'])


def test_prediction_of_class_visible_and_masked_tokens(golden):
    model, mask = golden.model, golden.mask
    with torch.no_grad():
        latents = model.encode(golden.arrays['image'], mask)
        patches = model.neck(latents, mask, mask.order)
        class_token = model.neck.predict_class(latents)
    prediction = torch.cat((class_token.unsqueeze(1), patches), dim=1)
    close(F.normalize(prediction, dim=-1), golden.arrays['prediction'])


def test_loss(golden):
    close(golden.loss().detach(), golden.arrays['loss'])


def test_every_gradient(golden):
    golden.model.zero_grad()
    golden.loss().backward()
    grads = {name: parameter.grad for name, parameter in golden.model.named_parameters() if parameter.grad is not None}
    ours = to_authors(grads)
    assert set(ours) == set(golden.grad)
    whole = torch.stack([grad.norm() for grad in golden.grad.values()]).norm()
    for name, theirs in golden.grad.items():
        if name.endswith('norm1_k.bias'):
            # It moves all keys alike, which softmax does not see: the true gradient is zero, both are rounding.
            assert max(ours[name].norm(), theirs.norm()) <= 1e-6 * whole, name
            continue
        assert (ours[name] - theirs).norm() <= 1e-4 * theirs.norm(), name
        # No single entry is off by more than rounding either.
        assert (ours[name] - theirs).abs().max() <= 1e-4 * theirs.abs().max(), name
    for name, grad in grads.items():
        if name.endswith('attn.qkv.bias'):
            keys = grad.chunk(3)[1]
            assert torch.equal(keys, torch.zeros_like(keys)), name
