"""mmcv's compiled operators on the device against the same on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_TOLERANCE = 1e-3


def check_operators(device: torch.device, small: bool = False) -> dict[str, Any]:
    """Largest difference of each operator's output and gradients to those of the CPU, relative to their size.

    Args:
        device: Where.
        small: Less data.

    Returns:
        ``differences``, ``failed`` (names beyond 1e-3, or with the error's line) and ``summary``.
    """
    differences: dict[str, float] = {}
    failed: dict[str, str] = {}
    for name, operator in OPERATORS.items():
        try:
            expected = operator(torch.device('cpu'), small)
            found = operator(device, small)
            differences[name] = max(_difference(a.cpu(), b) for a, b in zip(found, expected, strict=True))
            if not differences[name] <= _TOLERANCE:
                failed[name] = f'differs by {differences[name]:.1e}'
        except Exception as error:  # one that was not compiled for the device; the others are tried
            failed[name] = f'{type(error).__name__}: {error}'.splitlines()[0]
    summary = ', '.join(f'{name} {value:.0e}' for name, value in differences.items())
    return dict(differences=differences, failed=failed, summary=f'largest differences: {summary}')


def _difference(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return float('inf')
    size = expected.double().abs().max().clamp(min=1e-6) if expected.numel() else torch.ones(())
    return float((found.double() - expected.double()).abs().max() / size) if expected.numel() else 0.0


def _draw(device: torch.device, *shape: int, grad: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.rand(shape, generator=generator).to(device).requires_grad_(grad)


def _boxes(device: torch.device, count: int, side: float) -> Tensor:
    corners = _draw(device, count, 4) * side
    return torch.cat((torch.minimum(corners[:, :2], corners[:, 2:]), torch.maximum(corners[:, :2], corners[:, 2:])), 1)


def _roi_align(device: torch.device, small: bool) -> list[Tensor]:
    from mmcv.ops import RoIAlign

    features = _draw(device, 1, 8 if small else 256, 32, 32, grad=True)
    boxes = _boxes(device, 16 if small else 512, 32 * 16)
    rois = torch.cat((torch.zeros(len(boxes), 1, device=device), boxes), dim=1)
    pooled = RoIAlign(output_size=7, spatial_scale=1 / 16, sampling_ratio=0)(features, rois)
    pooled.square().mean().backward()
    return [pooled.detach(), features.grad]


def _nms(device: torch.device, small: bool) -> list[Tensor]:
    from mmcv.ops import batched_nms

    count = 100 if small else 2000
    boxes, scores = _boxes(device, count, 800), _draw(device, count)
    kept, indices = batched_nms(
        boxes, scores, torch.arange(count, device=device) % 5, dict(type='nms', iou_threshold=0.7)
    )
    return [kept, indices]


def _deform_conv(device: torch.device, small: bool) -> list[Tensor]:
    from mmcv.ops import modulated_deform_conv2d

    channels = 4 if small else 64
    images = _draw(device, 1, channels, 16, 16, grad=True)
    offsets, masks = _draw(device, 1, 18, 16, 16), _draw(device, 1, 9, 16, 16)
    weights = _draw(device, channels, channels, 3, 3, grad=True)
    result = modulated_deform_conv2d(images, offsets, masks, weights, None, 1, 1, 1, 1, 1)
    result.square().mean().backward()
    return [result.detach(), images.grad, weights.grad]


# What mmdet's detectors call here; the deformable convolution is for detectors of others.
OPERATORS: dict[str, Callable[[torch.device, bool], list[Tensor]]] = {
    'roi_align': _roi_align,
    'nms': _nms,
    'modulated_deform_conv2d': _deform_conv,
}
