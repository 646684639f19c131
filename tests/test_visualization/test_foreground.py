"""Foreground by the first principal component of many images."""

import pytest
import torch

from mmimg2vec.errors import UserError
from mmimg2vec.visualization.foreground import fit_foreground, foreground_colors

GENERATOR = torch.Generator().manual_seed(0)
# Objects of three kinds far from the background, which lies at the borders.
BACKGROUND = torch.randn(300, 8, generator=GENERATOR) * 0.1
OBJECTS = torch.randn(150, 8, generator=GENERATOR) * 0.1
OBJECTS[:, 0] += 5
OBJECTS[:50, 1] += 1
OBJECTS[50:100, 2] += 1
TOKENS = torch.cat([BACKGROUND, OBJECTS])
BORDER = torch.arange(450) < 200


@pytest.mark.parametrize('sign', [1, -1])
def test_the_background_is_black_whatever_the_sign_of_the_axis(sign):
    basis = fit_foreground(sign * TOKENS, BORDER)
    colors = foreground_colors(sign * TOKENS, basis)
    black = (colors == 0).all(1)
    assert black[:300].all() and black[300:].double().mean() < 0.05
    # The colors are spent on the foreground: its kinds differ.
    kinds = torch.stack([colors[300 + 50 * k : 350 + 50 * k].mean(0) for k in range(3)])
    assert torch.cdist(kinds, kinds)[~torch.eye(3, dtype=torch.bool)].min() > 0.3


def test_nothing_left():
    with pytest.raises(UserError, match='above the threshold 1: take a smaller one'):
        fit_foreground(TOKENS, BORDER, threshold=1)
