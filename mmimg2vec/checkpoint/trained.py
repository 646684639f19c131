"""Filling a model with all the weights that its config has trained: for inference and for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from mmimg2vec.checkpoint.fill import fill
from mmimg2vec.checkpoint.sources import load_checkpoint
from mmimg2vec.checkpoint.weights import named_weights

# Heads that serve training alone; a config for testing may leave them out.
_TRAINING_ONLY = (r'^auxiliary_head\.',)
# What a wrapper that was saved with its module writes before all names: DDP's, torch.compile's.
_WRAPPERS = ('module._orig_mod.', 'module.', '_orig_mod.')


def fill_trained(model: nn.Module, checkpoint: str | Mapping[str, Any], name: str | None = None) -> None:
    """Fill a model with all the weights that its config has trained.

    mmengine's inferencers and runners only warn of what does not fit, and go on with random weights.

    Args:
        model: Filled in place; the backbone's own hook resizes its position embeddings where the image size is another.
        checkpoint: The file, or what it holds.
        name: The file, where ``checkpoint`` is its content.

    Raises:
        UserError: A tensor is missing, of another shape, or has no place in the model.
    """
    content = load_checkpoint(checkpoint) if isinstance(checkpoint, str) else checkpoint
    name = name or (checkpoint if isinstance(checkpoint, str) else 'the checkpoint')
    weights = named_weights(content, name)
    fill(
        model,
        content,
        prefix=next((prefix for prefix in _WRAPPERS if all(key.startswith(prefix) for key in weights)), ''),
        allow_unused=_TRAINING_ONLY,
        name=name,
        where='the model of the config',
        cure='name the checkpoint that this config has trained',
    )
