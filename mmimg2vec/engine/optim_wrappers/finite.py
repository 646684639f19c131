"""Whether all gradients of an update are finite, without waiting for the device and without reading memory twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

# Gradients of this many values and more are summed while the backward pass has them in the processor's cache. Those of
# a ViT-B are 400 MB, which take 40 ms to read once more from memory (two CPU cores): 2.6 % of a step of 8 images.
_LARGE = 1 << 16


class FiniteGradients:
    """Tells whether the gradients of some parameters are finite.

    A sum is finite where all its values are, short of the end of float32's range, which is as bad. On an accelerator,
    whose memory is fast and each of whose operations costs a launch, the norms of all gradients are taken in one
    operation when they are there. On the CPU the large ones are summed in the backward pass, one after the other. The
    project's choice.

    With several processes DDP averages the gradients after the backward pass, so they are read then: whatever one
    process found is in the average of all.

    Args:
        parameters: What is trained.
        in_backward: Whether gradients are final when the backward pass has accumulated them.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], in_backward: bool) -> None:
        self.active = False  # in a backward pass that an update follows
        self._sums: dict[Tensor, tuple[Tensor, int, Tensor]] = {}
        self._handles: list[RemovableHandle] = [
            parameter.register_post_accumulate_grad_hook(self._sum)
            for parameter in (parameters if in_backward else ())
            if parameter.requires_grad and parameter.device.type == 'cpu' and parameter.numel() >= _LARGE
        ]

    def _sum(self, parameter: Tensor) -> None:
        if self.active and parameter.grad is not None:
            gradient = parameter.grad
            self._sums[parameter] = (gradient, gradient._version, gradient.sum())

    def __call__(self, parameters: Sequence[nn.Parameter]) -> Tensor | None:
        """Whether the gradients that the parameters have now are finite.

        Args:
            parameters: Parameters with gradients.

        Returns:
            bool, on the device; None where there are no parameters.
        """
        sums, rest = [], []
        for parameter in parameters:
            gradient = parameter.grad
            seen, version, total = self._sums.get(parameter, (None, 0, None))
            # Not those that somebody has changed or replaced since the backward pass.
            if total is not None and gradient is not None and gradient is seen and gradient._version == version:
                sums.append(total)
            elif gradient is not None:
                rest.append(gradient)
        self._sums.clear()
        self.active = False
        sums += torch._foreach_norm(rest) if rest else []
        return torch.stack(sums).sum().isfinite() if sums else None
