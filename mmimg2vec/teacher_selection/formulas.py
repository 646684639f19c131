"""Formulas of measures of tokens beside token diversity; constants and signs are fixed before anything is measured."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.linalg
import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor

from mmimg2vec.errors import UserError
from mmimg2vec.models.utils.tokens import unit_length

#: Dimensions that tokens are brought to by a PCA of all of them, before covariances are inverted.
PCA_DIMS = 64
#: The same of the pixels of a patch.
PIXEL_DIMS = 32
#: Clusters in an image, images of a group, clusters in a group, and the weight of the effective rank, of DSE.
DSE_IMAGE_CLUSTERS, DSE_GROUP, DSE_GROUP_CLUSTERS, DSE_RANK_WEIGHT = 3, 8, 24, 1.0
#: Added to the within-place covariance of LiDAR.
LIDAR_DELTA = 1e-4
#: Of the context gap: share of masked patches, visible neighbors, folds over images, ridge relative to the mean square.
GAP_MASKED, GAP_NEIGHBORS, GAP_FOLDS, GAP_RIDGE = 0.75, 8, 5, 1e-2


def local_distant_similarity(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """LDS of each image: mean cosine of near tokens minus that of far ones.

    Near is a Manhattan distance d on the grid with 0 < d < g / 2, far is d >= g / 2; g is the mean of its sides, which
    is iREPA's on square grids (arXiv 2512.10794).

    Args:
        tokens: ``(B, L, C)``, any scale.
        grid: Rows and columns.

    Returns:
        ``(B,)``.

    Raises:
        UserError: The grid has no near or no far pair.
    """
    unit = unit_length(tokens)
    rows, columns = (x.flatten() for x in torch.meshgrid(*map(torch.arange, grid), indexing='ij'))
    distance = (rows[:, None] - rows).abs() + (columns[:, None] - columns).abs()
    far = distance >= sum(grid) / 4
    near = (distance > 0) & ~far
    if not (near.any() and far.any()):
        raise UserError(f'LDS is undefined on {grid[0]} x {grid[1]} tokens: measure with a larger --img-size')
    cosines = unit @ unit.mT
    return _mean_where(cosines, near) - _mean_where(cosines, far)


def dense_structure(tokens: Tensor) -> dict[str, float]:
    """DSE of a set of images, with its parts (arXiv 2510.17299): ``inter + rank - (intra image + intra group) / 2``.

    Distances and spreads are relative to the mean distance of a token to the mean of all. Within clusters (k-means) the
    spread is the sum of singular values of the centered tokens over ``sqrt(max(n - 1, C))``. Between clusters it is the
    mean distance of a token to the nearest *other* center of its group. The rank is the exponential of the entropy of
    the singular values of all centered tokens, over the most that it could be.

    Args:
        tokens: ``(B, L, C)``, any scale.

    Raises:
        UserError: There are too few tokens, or they are all the same.
    """
    unit = unit_length(tokens.float())
    flat = unit.flatten(0, 1)
    centered = flat - flat.mean(dim=0)
    scale = centered.norm(dim=1).mean()
    if unit.shape[1] <= DSE_IMAGE_CLUSTERS or len(flat) <= DSE_GROUP_CLUSTERS or scale < 1e-6:
        raise UserError('DSE is undefined: too few tokens, or all the same')
    groups = [
        group.flatten(0, 1) for group in unit.split(DSE_GROUP) if group.shape[0] * group.shape[1] > DSE_GROUP_CLUSTERS
    ]
    clustered = [(group, *_cluster(group, DSE_GROUP_CLUSTERS)) for group in groups]
    within_image = [_spread(image, _cluster(image, DSE_IMAGE_CLUSTERS)[1]) for image in unit]
    within_group = [_spread(group, labels) for group, _, labels in clustered]
    between = [_to_other_center(*entry) for entry in clustered]
    values = torch.linalg.eigvalsh(_gram(centered)).clamp_min(0).sqrt()
    parts = dict(
        dse_inter=_mean(between) / scale.item(),
        dse_rank=_entropy_rank(values) / min(centered.shape),
        dse_intra_image=_mean(within_image) / scale.item(),
        dse_intra_group=_mean(within_group) / scale.item(),
    )
    intra = (parts['dse_intra_image'] + parts['dse_intra_group']) / 2
    return dict(dse=parts['dse_inter'] + DSE_RANK_WEIGHT * parts['dse_rank'] - intra, **parts)


def token_lidar(first: Tensor, second: Tensor) -> float:
    """LiDAR of tokens: how many directions tell places apart better than two augmentations of the same place differ.

    The exponential of the entropy of the eigenvalues of ``Sw^-1/2 Sb Sw^-1/2`` (arXiv 2312.04000), a place of an image
    being a class with two members; all in a PCA of 64 dimensions that both share.

    Args:
        first: ``(B, L, C)`` under one augmentation, any scale.
        second: The same places under another.

    Raises:
        UserError: The tokens are all the same.
    """
    both = torch.stack([unit_length(first.float()), unit_length(second.float())]).flatten(1, 2)
    both = _project(both.flatten(0, 1), PCA_DIMS).double().view(2, len(both[0]), -1)
    centers = both.mean(dim=0)
    apart = centers - centers.mean(dim=0)
    if apart.norm() < 1e-6:
        raise UserError('token LiDAR is undefined: the tokens are all the same')
    within = (both - centers).flatten(0, 1)
    dims = within.shape[1]
    noise = within.T @ within / len(within) + LIDAR_DELTA * torch.eye(dims, dtype=within.dtype)
    factor = torch.linalg.cholesky(noise)
    white = torch.linalg.solve_triangular(factor, apart.T, upper=False)
    return _entropy_rank(torch.linalg.eigvalsh(white @ white.T / len(apart)).clamp_min(0))


def context_gap(tokens: Tensor, pixels: Tensor, grid: tuple[int, int], seed: int = 0) -> float:
    """How much better visible *tokens* predict a masked token than the pixels of the same patches do.

    R² of ridge regression (closed form, 5 folds over the images) from the 8 nearest visible patches, nearest first, and
    the place; tokens in 64 dimensions, pixels in 32. The project's own.

    Args:
        tokens: ``(B, L, C)``, any scale.
        pixels: ``(B, L, P)`` of the same patches.
        grid: Rows and columns.
        seed: Of the masks, 75 % of each image.

    Raises:
        UserError: There are fewer images than folds, too few patches, or the tokens are all the same.
    """
    images, length, _ = tokens.shape
    visible = round(length * (1 - GAP_MASKED))
    if images < GAP_FOLDS or visible < GAP_NEIGHBORS:
        raise UserError(
            f'the context gap is undefined for {images} images of {length} tokens: it needs {GAP_FOLDS} images and '
            f'{GAP_NEIGHBORS} visible tokens'
        )
    targets = _project(unit_length(tokens.float()).flatten(0, 1), PCA_DIMS).view(images, length, -1)
    if targets.std() < 1e-6:
        raise UserError('the context gap is undefined: the tokens are all the same')
    seen = _project(pixels.float().flatten(0, 1), PIXEL_DIMS).view(images, length, -1)
    order = torch.rand(images, length, generator=torch.Generator().manual_seed(seed)).argsort(dim=1)
    shown, hidden = order[:, :visible].sort().values, order[:, visible:].sort().values
    rows, columns = (x.flatten().float() for x in torch.meshgrid(*map(torch.arange, grid), indexing='ij'))
    y, x = rows / grid[0] - 0.5, columns / grid[1] - 0.5
    place = torch.stack([y, x, y * y, x * x, x * y], dim=1)[hidden]
    distance = (rows[hidden][..., None] - rows[shown][:, None]) ** 2 + (
        columns[hidden][..., None] - columns[shown][:, None]
    ) ** 2
    nearest = distance.sort(dim=2, stable=True).indices[..., :GAP_NEIGHBORS]
    index = torch.gather(shown[:, None].expand(-1, hidden.shape[1], -1), 2, nearest)
    batch = torch.arange(images)
    wanted = targets[batch[:, None], hidden]
    scores = [
        _ridge_r2(torch.cat([source[batch[:, None, None], index].flatten(2), place], dim=2), wanted)
        for source in (targets, seen)
    ]
    return scores[0] - scores[1]


def _mean_where(cosines: Tensor, where: Tensor) -> Tensor:
    return (cosines * where).sum(dim=(1, 2)) / where.sum()


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _gram(rows: Tensor) -> Tensor:
    """The smaller of the two matrices whose eigenvalues are the squared singular values."""
    rows = rows.double()
    return rows.T @ rows if rows.shape[0] > rows.shape[1] else rows @ rows.T


def _entropy_rank(values: Tensor) -> float:
    shares = values / values.sum().clamp_min(1e-300)
    return torch.special.entr(shares).sum().exp().item()


def _cluster(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Centers and labels of k-means (scipy's, k-means++, ten rounds, a fixed seed)."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of clusters that lost their members
        centers, labels = kmeans2(rows.double().numpy(), count, iter=10, minit='++', seed=np.random.default_rng(0))
    return torch.from_numpy(centers).float(), torch.from_numpy(labels).long()


def _spread(rows: Tensor, labels: Tensor) -> float:
    spreads = []
    for label in labels.unique():
        own = rows[labels == label]
        values = torch.linalg.eigvalsh(_gram(own - own.mean(dim=0))).clamp_min(0).sqrt()
        spreads.append(values.sum().item() / max(len(own) - 1, rows.shape[1]) ** 0.5)
    return _mean(spreads)


def _to_other_center(rows: Tensor, centers: Tensor, labels: Tensor) -> float:
    distance = torch.cdist(rows, centers)
    distance[torch.arange(len(rows)), labels] = torch.inf
    unused = ~torch.isin(torch.arange(len(centers)), labels)
    distance[:, unused] = torch.inf
    return distance.min(dim=1).values.mean().item()


def _project(rows: Tensor, dims: int) -> Tensor:
    """Principal components of the rows, as many as asked for or as there are."""
    rows = rows.double() - rows.double().mean(dim=0)
    width = rows.shape[1]
    _, vectors = scipy.linalg.eigh((rows.T @ rows).numpy(), subset_by_index=[max(0, width - dims), width - 1])
    return (rows @ torch.from_numpy(vectors)).float()


def _ridge_r2(features: Tensor, wanted: Tensor) -> float:
    """R² of held-out images, ``(B, N, F)`` to ``(B, N, D)``."""
    folds = torch.arange(len(features)) % GAP_FOLDS
    left = total = 0.0
    for fold in range(GAP_FOLDS):
        x, y = (t[folds != fold].flatten(0, 1).double() for t in (features, wanted))
        mean_x, mean_y = x.mean(dim=0), y.mean(dim=0)
        x, y = x - mean_x, y - mean_y
        gram = x.T @ x
        gram.diagonal().add_(GAP_RIDGE * gram.diagonal().mean() + 1e-12)
        weights = torch.linalg.solve(gram, x.T @ y)
        held_x, held_y = (t[folds == fold].flatten(0, 1).double() for t in (features, wanted))
        left += (held_y - mean_y - (held_x - mean_x) @ weights).square().sum().item()
        total += (held_y - mean_y).square().sum().item()
    return 1 - left / total
