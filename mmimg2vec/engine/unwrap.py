"""Access to the model inside a wrapper."""

from __future__ import annotations

from mmengine.model import is_model_wrapper
from torch import nn


def unwrapped(model: nn.Module) -> nn.Module:
    """The model itself, where it is inside DistributedDataParallel or another of mmengine's wrappers."""
    return model.module if is_model_wrapper(model) else model
