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


def test_colors_reach_from_the_2nd_to_the_98th_percentile():
    tokens = torch.zeros(101, 3)
    tokens[:, 1] = torch.arange(101.0)
    basis = color_basis(tokens)
    assert basis.axes[:, 0].tolist() == pytest.approx([0, 1, 0])
    assert (basis.low[0], basis.high[0]) == (pytest.approx(-48), pytest.approx(48))
    assert to_colors(tokens[[0, 2, 26, 50, 98, 100]], basis)[:, 0].tolist() == pytest.approx([0, 0, 0.25, 0.5, 1, 1])
    assert color_basis(-tokens).axes[1, 0] == pytest.approx(1)  # whatever the sign of what was found


def panels(monkeypatch, *args, **kwargs):
    """The four columns that a picture is made of, before they are drawn."""
    found = []
    monkeypatch.setattr(
        'mmimg2vec.visualization.features._compose', lambda columns, *rest: found.append((columns, rest))
    )
    draw_feature_pictures(*args, **kwargs)
    return found[0]


def test_what_stands_in_the_columns(monkeypatch):
    torch.manual_seed(0)
    images = np.random.RandomState(0).randint(0, 256, (2, 8, 16, 3), dtype=np.uint8)
    targets, masks = torch.randn(2, 8, 5), torch.zeros(2, 8, dtype=torch.bool)
    masks[0, 5] = masks[1, 0] = True  # second row, second column; first row, first column
    positions = torch.tensor([[5], [0]])
    columns, (aspect, title) = panels(monkeypatch, images, masks, targets, targets[:, :1], positions, title='T')
    assert (aspect, title) == (0.5, 'T')
    photos, visible, teacher, predicted = columns
    assert np.array_equal(photos, images / 255)
    masked = np.zeros((2, 8, 16), bool)
    masked[0, 4:, 4:8] = masked[1, :4, :4] = True
    assert (visible[masked] == 0.5).all() and np.array_equal(visible[~masked], photos[~masked])
    basis = color_basis(targets.flatten(0, 1))
    assert np.array_equal(teacher, to_colors(targets, basis).view(2, 2, 4, 3).numpy())
    assert np.allclose(predicted[0, 1, 1], teacher[0, 0, 0]) and np.allclose(predicted[1, 0, 0], teacher[1, 0, 0])
    assert (predicted == 0.5).all(-1).sum() == 14


def test_size_of_a_picture():
    images = np.zeros((3, 4, 8, 3), np.uint8)
    arguments = (
        torch.zeros(3, 2, dtype=torch.bool),
        torch.rand(3, 2, 4),
        torch.rand(3, 2, 4),
        torch.arange(2).expand(3, 2),
    )
    # Four columns of 2 inches and three rows of 1 inch at 100 points, with gaps, and a line for the titles.
    assert draw_feature_pictures(images, *arguments).shape == (367, 840, 3)
    assert draw_feature_pictures(images, *arguments, title='T').shape == (402, 840, 3)


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
