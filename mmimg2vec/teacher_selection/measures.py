"""Measures of teachers beside token diversity, on tokens as the student's loss sees them.

What each measure is a sign of, and who has validated it, stands in :data:`MEASURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mmimg2vec.errors import UserError
from mmimg2vec.evaluation.knn import knn_accuracy
from mmimg2vec.teacher_selection.formulas import (
    context_gap,
    dense_structure,
    local_distant_similarity,
    token_lidar,
)


class Measure(NamedTuple):
    """What a measure is, and how far it can be trusted.

    Attributes:
        title: In tables.
        sign: 1 where more is taken to be better, -1 where less is.
        validated: How it has been validated, and by whom.
    """

    title: str
    sign: int
    validated: str


#: Key of a measure -> what it is. The first five are candidates, the others parts of them or controls.
MEASURES = {
    'diversity': Measure(
        'token diversity',
        1,
        'iREPA (arXiv 2512.10794): its RMSC, of which this is L / (L - 1) times the square, |r| = 0.89 with the FID of '
        'a diffusion student over 27 encoders. Here: 7 teachers on drawn images, no conclusion',
    ),
    'lds': Measure('LDS', 1, 'iREPA: |r| = 0.85, the same 27 encoders. Here: not validated'),
    'dse': Measure(
        'DSE',
        1,
        'DSE (arXiv 2510.17299): Kendall tau = 0.57 with mIoU of the *same* network over 16 methods, within runs; not '
        'with what a student of it learns. Here: not validated',
    ),
    'lidar': Measure(
        'token LiDAR',
        1,
        'LiDAR (arXiv 2312.04000) for whole images; of tokens DSE reports tau = -0.30 with mIoU. Here: not validated',
    ),
    'context_gap': Measure('context gap', 1, "the project's own, on the ground of arXiv 2407.03475: by nobody"),
    'dse_inter': Measure('DSE, between clusters', 1, 'part of DSE'),
    'dse_rank': Measure('DSE, effective rank', 1, 'part of DSE'),
    'dse_intra_image': Measure('DSE, within clusters of an image', -1, 'part of DSE'),
    'dse_intra_group': Measure('DSE, within clusters of a group', -1, 'part of DSE'),
    'own_knn': Measure(
        "teacher's own kNN, %",
        1,
        'a control: iREPA reports |r| = 0.26 of a linear accuracy with what the student reaches',
    ),
    'effective_rank': Measure('effective rank', 1, 'a control: DSE reports tau = 0.24 of a token RankMe with mIoU'),
}


@dataclass
class Views:
    """What the measures of a sample of images look at.

    Attributes:
        tokens: ``(B, L, C)`` of the images as they are.
        first: The same places under one augmentation.
        second: Under another.
        pixels: ``(B, L, P)`` of the patches.
        grid: Rows and columns.
    """

    tokens: Tensor
    first: Tensor
    second: Tensor
    pixels: Tensor
    grid: tuple[int, int]


def measure_sample(views: Views) -> tuple[dict[str, float], dict[str, str]]:
    """All measures that need a sample of images at once.

    Returns:
        Key -> value; and key -> why it is undefined, in one line.
    """
    values: dict[str, float] = {}
    undefined: dict[str, str] = {}
    parts: dict[str, Callable[[], dict[str, float]]] = {
        'lds': lambda: {'lds': local_distant_similarity(views.tokens.float(), views.grid).mean().item()},
        'dse': lambda: dense_structure(views.tokens),
        'lidar': lambda: {'lidar': token_lidar(views.first, views.second)},
        'context_gap': lambda: {'context_gap': context_gap(views.tokens, views.pixels, views.grid)},
    }
    for key, part in parts.items():
        try:
            values.update(part())
        except (UserError, torch.linalg.LinAlgError) as error:
            undefined[key] = ' '.join(str(error).split())
    return values, undefined


def own_knn(features: Tensor, labels: Sequence[str], folds: int = 5) -> float:
    """Accuracy in percent of the teacher's own nearest neighbors, every fifth image asking the others in turn.

    Args:
        features: ``(N, C)`` means of the tokens.
        labels: Of the images.
        folds: Their number.

    Raises:
        UserError: There are fewer images than folds, or one class.
    """
    names = sorted(set(labels))
    if len(labels) < folds or len(names) < 2:
        raise UserError(f'kNN is undefined for {len(labels)} images of {len(names)} classes')
    index = torch.tensor([names.index(label) for label in labels])
    fold = torch.arange(len(labels)) % folds
    right = 0.0
    for number in range(folds):
        asks = fold == number
        accuracy = knn_accuracy(
            features[~asks], index[~asks], features[asks], index[asks], k=min(20, int((~asks).sum()))
        )
        right += accuracy * int(asks.sum())
    return right / len(labels)


def augment(images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Change brightness, contrast and saturation of each image, and mirror half of them.

    Args:
        images: ``(B, 3, H, W)`` in gray levels.
        seed: Of all that is drawn.

    Returns:
        The images, and which of them are mirrored ``(B,)``.
    """
    generator = torch.Generator().manual_seed(seed)
    factors = 1 + 0.4 * (2 * torch.rand(3, len(images), 1, 1, 1, generator=generator) - 1)
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean * factors[0] + (images - mean) * factors[1]
    gray = images.mean(dim=1, keepdim=True)
    images = (gray + (images - gray) * factors[2]).clamp(0, 255)
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images), mirrored


def mirror_tokens(tokens: Tensor, mirrored: Tensor, grid: tuple[int, int]) -> Tensor:
    """Put the tokens ``(B, L, C)`` of mirrored images back in their places."""
    flipped = tokens.unflatten(1, grid).flip(2).flatten(1, 2)
    return torch.where(mirrored.view(-1, 1, 1), flipped, tokens)
