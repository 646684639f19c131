import numpy as np
import pytest
import torch

from mmimg2vec.visualization.features import (
    color_basis,
    draw_feature_pictures,
    to_colors,
    token_grid,
)


@pytest.mark.parametrize(('count', 'width'), [(50, 8), (12, 40), (30, 2)])
def test_basis_is_that_of_principal_components(count, width):
    torch.manual_seed(0)
    tokens = (torch.randn(count, width) * torch.linspace(5, 0.1, width)).double()
    basis = color_basis(tokens)
    centered = tokens - tokens.mean(0)
    _, _, rows = torch.linalg.svd(centered, full_matrices=False)
    kept = min(3, width)
    assert torch.allclose((basis.axes.T[:kept] @ rows[:kept].T).abs(), torch.eye(kept).double(), atol=1e-8)
    colors = to_colors(tokens, basis)
    assert colors.shape == (count, 3) and colors.min() == 0 and colors.max() <= 1
    # the sign does not depend on the order of the tokens
    assert torch.allclose(basis.axes, color_basis(tokens.flip(0)).axes, atol=1e-8)


@pytest.mark.parametrize(
    ('height', 'width', 'tokens', 'grid'),
    [(224, 224, 196, (14, 14)), (64, 32, 8, (4, 2)), (32, 160, 20, (2, 10))],
)
def test_token_grid(height, width, tokens, grid):
    assert token_grid(height, width, tokens) == grid


def test_picture_shows_predictions_in_the_teachers_colors():
    torch.manual_seed(0)
    images = np.random.RandomState(0).randint(0, 256, (2, 32, 48, 3), dtype=np.uint8)
    targets = torch.randn(2, 24, 16)
    masks = torch.zeros(2, 24, dtype=torch.bool)
    masks[:, ::2] = True
    positions = torch.arange(24).expand(2, 24)
    picture = draw_feature_pictures(images, masks, targets, targets, positions, title='epoch 1')
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    panel = (picture.shape[1] - 8) // 4
    left = [8 + column * panel for column in range(4)]
    rows = slice(picture.shape[0] - 130, picture.shape[0] - 20)
    teacher, predicted = (picture[rows, x : x + panel - 8] for x in left[2:])
    assert np.abs(teacher.astype(int) - predicted).mean() < 2
    half = draw_feature_pictures(images, masks, targets, targets[:, ::2], positions[:, ::2])
    assert not np.array_equal(half[-130:-20, left[3] :], half[-130:-20, left[2] : left[2] + panel])
