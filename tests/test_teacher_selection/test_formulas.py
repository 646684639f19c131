"""Measures of tokens, each beside a twin that counts one by one."""

import math

import numpy as np
import pytest
import torch

from mmimg2vec import UserError
from mmimg2vec.teacher_selection import formulas
from mmimg2vec.teacher_selection.formulas import (
    context_gap,
    dense_structure,
    local_distant_similarity,
    token_lidar,
)


def tokens_of(images=6, grid=(6, 6), width=10, seed=0):
    """Tokens that vary smoothly over each image, with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : grid[0], 0 : grid[1]] / max(grid)
    waves = rng.normal(size=(images, 3, width))
    maps = [
        np.stack([np.sin(3 * y), np.cos(4 * x), x * y], axis=-1).reshape(-1, 3) @ w
        + 0.3 * rng.normal(size=(y.size, width))
        for w in waves
    ]
    return torch.tensor(np.stack(maps) + 0.5, dtype=torch.float32)


def unit(tokens):
    return tokens / tokens.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize('grid', [(6, 6), (4, 7)])
def test_lds_is_near_minus_far(grid):
    tokens = tokens_of(2, grid)
    got = local_distant_similarity(tokens, grid)
    half = (grid[0] + grid[1]) / 4
    for image, value in zip(unit(tokens), got, strict=True):
        near, far = [], []
        for i in range(len(image)):
            for j in range(len(image)):
                distance = abs(i // grid[1] - j // grid[1]) + abs(i % grid[1] - j % grid[1])
                if i != j:
                    (near if distance < half else far).append(float(image[i] @ image[j]))
        assert value.item() == pytest.approx(np.mean(near) - np.mean(far), abs=1e-5)
    assert got.min() > 0  # near places are alike


def test_lds_of_noise_is_zero_and_needs_far_pairs():
    noise = torch.randn(40, 64, 32, generator=torch.Generator().manual_seed(0))
    assert abs(local_distant_similarity(noise, (8, 8)).mean().item()) < 0.01
    with pytest.raises(UserError, match='larger --img-size'):
        local_distant_similarity(noise[:, :1], (1, 1))


def entropy_rank(values):
    shares = [v / sum(values) for v in values if v > 0]
    return math.exp(-sum(p * math.log(p) for p in shares))


def test_dse_and_its_parts_are_what_the_formula_counts():
    tokens = unit(tokens_of(12)).double()
    got = dense_structure(tokens.float())
    flat = tokens.flatten(0, 1)
    mean = sum(flat) / len(flat)
    scale = np.mean([float((row - mean).norm()) for row in flat])
    intra_image, intra_group, inter = [], [], []

    def spread(rows, labels):
        found = []
        for label in sorted(set(labels.tolist())):
            own = torch.stack([row for row, mine in zip(rows, labels, strict=True) if mine == label])
            values = np.linalg.svd((own - own.mean(dim=0)).numpy(), compute_uv=False)
            found.append(values.sum() / math.sqrt(max(len(own) - 1, rows.shape[1])))
        return np.mean(found)

    for image in tokens:
        _, labels = formulas._cluster(image, 3)
        intra_image.append(spread(image, labels))
    for group in (tokens[:8].flatten(0, 1), tokens[8:].flatten(0, 1)):
        centers, labels = formulas._cluster(group, 24)
        intra_group.append(spread(group, labels))
        used = set(labels.tolist())
        inter.append(
            np.mean(
                [
                    min(float((row - centers[k].double()).norm()) for k in used if k != label)
                    for row, label in zip(group, labels.tolist(), strict=True)
                ]
            )
        )
    rank = entropy_rank(np.linalg.svd((flat - mean).numpy(), compute_uv=False)) / min(flat.shape)
    assert got['dse_intra_image'] == pytest.approx(np.mean(intra_image) / scale, rel=1e-3)
    assert got['dse_intra_group'] == pytest.approx(np.mean(intra_group) / scale, rel=1e-3)
    assert got['dse_inter'] == pytest.approx(np.mean(inter) / scale, rel=1e-3)
    assert got['dse_rank'] == pytest.approx(rank, rel=1e-3)
    total = got['dse_inter'] + got['dse_rank'] - (got['dse_intra_image'] + got['dse_intra_group']) / 2
    assert got['dse'] == pytest.approx(total)
    assert dense_structure(tokens.float()) == got  # k-means starts from a fixed seed


def test_dse_rewards_tight_clusters():
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(3, 16, generator=generator)
    labels = torch.randint(3, (8, 36), generator=generator)
    noise = torch.randn(8, 36, 16, generator=generator)
    tight, loose = (dense_structure(centers[labels] + amount * noise) for amount in (0.05, 1.0))
    assert tight['dse_intra_image'] < loose['dse_intra_image']


def test_lidar_is_the_rank_of_places_over_augmentations():
    clean = tokens_of(3, (4, 4), 8)
    first, second = (
        clean + 0.05 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(s)) for s in (1, 2)
    )
    pair = torch.stack([unit(first), unit(second)]).flatten(1, 2).double()
    # With fewer than 64 dimensions the PCA is a rotation, which changes nothing.
    centers = pair.mean(dim=0)
    mean, dims = centers.mean(dim=0), centers.shape[1]
    between, within = torch.zeros(dims, dims).double(), 1e-4 * torch.eye(dims).double()
    for place in range(len(centers)):
        apart = centers[place] - mean
        between += torch.outer(apart, apart) / len(centers)
        for view in range(2):
            off = pair[view, place] - centers[place]
            within += torch.outer(off, off) / (2 * len(centers))
    values, vectors = np.linalg.eigh(within.numpy())
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    want = entropy_rank(np.linalg.eigvalsh(root @ between.numpy() @ root))
    assert token_lidar(first, second) == pytest.approx(want, rel=1e-3)


def test_lidar_falls_where_augmentations_change_the_tokens():
    clean = tokens_of(6, width=32)
    noise = [torch.randn(clean.shape, generator=torch.Generator().manual_seed(s)) for s in (1, 2)]
    quiet = token_lidar(clean + 0.01 * noise[0], clean + 0.01 * noise[1])
    one = torch.zeros(32)
    one[0] = 3.0  # all but one direction is noise of the augmentation
    drowned = token_lidar(clean * one + noise[0], clean * one + noise[1])
    assert drowned > 0 and quiet > 1


def slow_gap(tokens, pixels, grid):
    """R² of both, patch by patch."""
    images, length, _ = tokens.shape
    order = torch.rand(images, length, generator=torch.Generator().manual_seed(0)).argsort(dim=1)
    visible = round(length * 0.25)
    flat = unit(tokens).flatten(0, 1)
    targets = formulas._project(flat, 64).view(images, length, -1).double().numpy()
    seen = formulas._project(pixels.flatten(0, 1), 32).view(images, length, -1).double().numpy()
    scores = []
    for source in (targets, seen):
        rows = []
        for image in range(images):
            shown = sorted(order[image, :visible].tolist())
            for patch in sorted(order[image, visible:].tolist()):
                y, x = divmod(patch, grid[1])
                near = sorted(shown, key=lambda k: (k // grid[1] - y) ** 2 + (k % grid[1] - x) ** 2)[:8]
                v, u = y / grid[0] - 0.5, x / grid[1] - 0.5
                features = np.concatenate([*(source[image, k] for k in near), [v, u, v * v, u * u, u * v]])
                rows.append((image % 5, features, targets[image, patch]))
        left = total = 0.0
        for fold in range(5):
            x = np.stack([f for k, f, _ in rows if k != fold])
            y = np.stack([t for k, _, t in rows if k != fold])
            gram = (x - x.mean(0)).T @ (x - x.mean(0))
            gram += 1e-2 * np.mean(np.diag(gram)) * np.eye(len(gram))
            weights = np.linalg.solve(gram, (x - x.mean(0)).T @ (y - y.mean(0)))
            for k, f, t in rows:
                if k == fold:
                    left += ((t - y.mean(0) - (f - x.mean(0)) @ weights) ** 2).sum()
                    total += ((t - y.mean(0)) ** 2).sum()
        scores.append(1 - left / total)
    return scores[0] - scores[1]


def test_context_gap_is_what_its_twin_counts():
    tokens = tokens_of(7, (6, 6), 5)
    pixels = torch.randn(7, 36, 12, generator=torch.Generator().manual_seed(3))
    assert context_gap(tokens, pixels, (6, 6)) == pytest.approx(slow_gap(tokens, pixels, (6, 6)), abs=1e-3)


def test_context_gap_is_zero_for_pixels_and_positive_where_only_tokens_have_context():
    smooth = tokens_of(20, (8, 8), 6)
    noise = torch.randn(20, 64, 6, generator=torch.Generator().manual_seed(0))
    assert context_gap(smooth, noise, (8, 8)) > 0.2
    same = unit(smooth)
    assert abs(context_gap(same, same, (8, 8))) < 0.02


@pytest.mark.parametrize('call', [
    lambda t: dense_structure(t),
    lambda t: token_lidar(t, t),
    lambda t: context_gap(t, torch.randn(*t.shape[:2], 6), (6, 6)),
])  # fmt: skip
def test_constant_features_are_undefined(call):
    with pytest.raises(UserError, match='undefined'):
        call(torch.ones(8, 36, 4))


def test_too_few_images_are_undefined():
    with pytest.raises(UserError, match='it needs 5 images'):
        context_gap(tokens_of(3), torch.randn(3, 36, 4), (6, 6))
