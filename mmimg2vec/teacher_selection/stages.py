"""Token diversity of the maps that the stages of a convolutional network give."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from mmimg2vec.models.target_generators import BackboneTargetGenerator
from mmimg2vec.models.utils import map_to_tokens, token_diversity
from mmimg2vec.teacher_selection.statistics import RunningMean


@torch.no_grad()
def stage_diversity(generator: BackboneTargetGenerator, batches: Iterable[Tensor]) -> dict[str, float]:
    """Mean token diversity of each stage's map over images.

    Args:
        generator: Connected, described and loaded.
        batches: ``(B, 3, H, W)`` images, as the generator's student has them.

    Returns:
        Name of the stage -> diversity. Stages that give no map ``(B, C, h, w)`` of more than one position are left out.
    """
    means: dict[str, RunningMean] = {}

    def watch(name: str) -> Callable:
        def hook(module: nn.Module, inputs: tuple, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2:].numel() > 1:
                diversity = token_diversity(map_to_tokens(output).double())
                means.setdefault(name, RunningMean()).add(diversity)

        return hook

    stages = {} if generator.teacher is None else generator.teacher.stages()
    handles = [stage.register_forward_hook(watch(name)) for name, stage in stages.items()]
    try:
        for images in batches:
            generator(images)
    finally:
        for handle in handles:
            handle.remove()
    return {name: mean.mean for name, mean in means.items()}
