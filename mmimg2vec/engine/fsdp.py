"""What FSDP shards together."""

from __future__ import annotations

from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import nn


def wrap_transformer_blocks(module: nn.Module, recurse: bool, nonwrapped_numel: int) -> bool:
    """Wrap policy of FSDP: every block of a ViT is a unit of its own, all else belongs to the model's.

    In a config: ``auto_wrap_policy=dict(type='mmimg2vec.engine.fsdp.wrap_transformer_blocks')``.

    Args:
        module: A module of the model.
        recurse: Whether torch asks if it shall look inside, rather than whether to wrap.
        nonwrapped_numel: Parameters of the module that are in no unit yet; not used.

    Returns:
        Whether to look inside, or to wrap.
    """
    return recurse or isinstance(module, TransformerEncoderLayer)
