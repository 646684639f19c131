"""Exact a trous dilation of a convolutional network's stages."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


def stage_stride(stage: nn.Module) -> int:
    """Stride of a stage: the largest of its convolutions (a ResNet's stage strides once)."""
    return max((max(m.stride) for m in stage.modules() if isinstance(m, nn.Conv2d)), default=1)


def dilate_stages(stages: Iterable[nn.Module]) -> None:
    """Take the strides out of consecutive stages, in place, so that their maps become denser and old values stay.

    The first strided 3x3 convolution of a stage keeps the dilation it had and only loses its stride; what comes
    after it is dilated. The dense map then holds, at every ``stride``-th row and column, exactly what the strided
    network computes, and fills in the positions between. (mmpretrain's ``ResNet(dilations=...)`` dilates that first
    convolution as well, so that its features differ everywhere.)

    Args:
        stages: The last stages of a ResNet-like network, in order; each is iterated block by block, and a block's
            convolutions are met in the order of their registration.

    Raises:
        ValueError: A stage strides by pooling or has even kernels, where no exact dilation exists.
    """
    rate = 1
    for stage in stages:
        for block in stage:
            block_rate = rate
            for module in block.modules():
                if isinstance(module, nn.AvgPool2d | nn.MaxPool2d):
                    raise ValueError(f'{type(module).__name__} inside a stage cannot be dilated')
                if not isinstance(module, nn.Conv2d):
                    continue
                stride = max(module.stride)
                if stride > 1:
                    module.stride = (1, 1)
                    _set_dilation(module, rate)
                    block_rate = rate * stride
                else:
                    _set_dilation(module, block_rate)
            rate = block_rate


def _set_dilation(conv: nn.Conv2d, rate: int) -> None:
    if any(size % 2 == 0 for size in conv.kernel_size):
        raise ValueError(f'a convolution with kernel {conv.kernel_size} cannot be dilated')
    conv.dilation = tuple(rate if size > 1 else 1 for size in conv.kernel_size)
    conv.padding = tuple(rate * (size - 1) // 2 for size in conv.kernel_size)
