"""The contrast of images and texts."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def image_text_contrast(image: Tensor, text: Tensor, same: Tensor, scale: Tensor) -> Tensor:
    r"""CLIP's symmetric loss (arXiv 2103.00020, figure 3), where a caption may stand in the batch several times.

    .. math:: -\frac{1}{2 B} \sum_{i, j} P_{ij} (\log \mathrm{softmax}_j s_{ij} + \log \mathrm{softmax}_j s_{ji})

    with :math:`s_{ij}` the scaled cosine of image i and text j, and :math:`P_{ij}` one over the number of captions
    equal to the i-th where the j-th is one of them, else 0. CLIP's identity matrix would call a caption wrong for an
    image that it describes; where all captions differ, P is that matrix (the project's choice).

    Args:
        image: ``(B, C)`` features of the images.
        text: ``(B, C)`` features of their captions.
        same: ``(B, B)`` bool: which captions are equal; True on the diagonal.
        scale: What cosines are multiplied by, one over the temperature.

    Returns:
        The mean over images and captions; at least the mean of ``log`` of the number of equal captions.
    """
    image, text = (F.normalize(x.float(), dim=-1) for x in (image, text))
    logits = scale.float() * image @ text.T
    wanted = same.float() / same.sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits, wanted) + F.cross_entropy(logits.T, wanted)) / 2
