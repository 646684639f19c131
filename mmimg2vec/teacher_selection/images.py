"""A folder of images as batches, without those that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from mmimg2vec.datasets.errors import DataError, UnreadableImage
from mmimg2vec.datasets.transforms.loading import LoadImage

# The share of an image's short side that is looked at, as evaluation on ImageNet has it.
_CROP = 224 / 256


def subsample(paths: Sequence[Path], count: int | None) -> list[Path]:
    """At most ``count`` of the paths, evenly spread over them; None takes all."""
    if count is None or count >= len(paths):
        return list(paths)
    return [paths[i] for i in np.linspace(0, len(paths) - 1, count).round().astype(int)]


def load_image(path: Path, size: int) -> Tensor:
    """Load the center of an image.

    Args:
        path: Of the file.
        size: Side of the result in pixels; it shows 7/8 of the image's short side.

    Returns:
        uint8 ``(3, size, size)``, RGB.

    Raises:
        UnreadableImage: It cannot be read.
    """
    image = LoadImage().transform({'img_path': str(path)})['img']
    height, width = image.shape[:2]
    side = max(1, round(min(height, width) * _CROP))
    top, left = (height - side) // 2, (width - side) // 2
    crop = image[top : top + side, left : left + side]
    how = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    crop = cv2.resize(crop, (size, size), interpolation=how)
    return torch.from_numpy(np.ascontiguousarray(crop[..., ::-1])).permute(2, 0, 1)


def read_batches(
    paths: Sequence[Path],
    size: int,
    batch_size: int,
    skipped: Callable[[Path, str], None] = lambda path, reason: None,
    taken: Callable[[Path], None] = lambda path: None,
) -> Iterator[Tensor]:
    """Yield float32 ``(B, 3, size, size)`` images in gray levels 0 to 255, RGB.

    Args:
        paths: Of the images.
        size: Side in pixels.
        batch_size: Images in all but the last batch.
        skipped: Called with the path and the reason of an image that cannot be read.
        taken: Called with the path of an image that was read, in their order.
    """
    batch: list[Tensor] = []
    for path in paths:
        try:
            batch.append(load_image(path, size))
        except UnreadableImage as error:
            skipped(path, error.reason)
            continue
        except DataError as error:
            skipped(path, str(error))
            continue
        taken(path)
        if len(batch) == batch_size:
            yield torch.stack(batch).float()
            batch = []
    if batch:
        yield torch.stack(batch).float()
