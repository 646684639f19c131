"""The backbone in a checkpoint: its tensors, its architecture, what was done to its images."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor

from mmimg2vec.checkpoint.architecture import Architecture, read_architecture
from mmimg2vec.checkpoint.config_text import read_config_text
from mmimg2vec.checkpoint.safe_load import safe_load
from mmimg2vec.errors import UserError

PREFIX = 'backbone.'


@dataclass(frozen=True)
class Backbone:
    """A backbone that was read from a file.

    Attributes:
        state: Name in mmpretrain's ``VisionTransformer`` -> tensor.
        architecture: Its shape.
        config: The backbone's part of the config, empty where the file has none.
        preprocessing: ``mean`` and ``std`` of an image with values from 0 to 1, and the ``channel_order`` that the
            network expects; None each where the file does not tell.
    """

    state: Mapping[str, Tensor]
    architecture: Architecture
    config: Mapping[str, Any]
    preprocessing: Mapping[str, Any]

    def build(self) -> VisionTransformer:
        """Build the network from the config that it was trained with, filled, in eval mode.

        Raises:
            UserError: The tensors do not fill it.
        """
        kwargs = self.architecture.mmpretrain_kwargs()
        known = inspect.signature(VisionTransformer).parameters
        for key in set(self.config) & set(known) - {'init_cfg', 'out_type', 'out_indices'}:
            kwargs[key] = self.config[key]
        return build_vit(kwargs, self.state)


def build_vit(kwargs: Mapping[str, Any], state: Mapping[str, Tensor]) -> VisionTransformer:
    """Build mmpretrain's ``VisionTransformer`` with these weights and no others, in eval mode.

    Raises:
        UserError: The arguments or the weights do not fit.
    """
    try:
        model = VisionTransformer(**kwargs)
        model.load_state_dict(dict(state), strict=True)
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        reason = ' '.join(str(error).split())[:300]
        raise UserError(f'the weights do not make a plain vision transformer: {reason}') from error
    model.eval()
    return model


def vit_features(model: VisionTransformer, images: Tensor) -> Tensor:
    """All tokens after the last block ``(B, L, C)``, or the normalized mean ``(B, C)``."""
    return VisionTransformer.forward(model, images)[-1]


def read_backbone(path: str | Path, arch: str | None = None, num_heads: int | None = None) -> Backbone:
    """Read the backbone of a ``backbone.pth``, of a whole training checkpoint, or of bare weights.

    Args:
        path: The file. Nothing in it is executed.
        arch: mmpretrain's name of the architecture, where the file carries no config.
        num_heads: The number of attention heads, where the file carries no config.

    Raises:
        UserError: The file is missing or damaged, or holds no backbone that is a plain vision transformer.
    """
    checkpoint = safe_load(str(path), 'cpu')
    checkpoint = checkpoint if isinstance(checkpoint, Mapping) else {}
    config = _config(checkpoint)
    model = config.get('model')
    model = model if isinstance(model, dict) else {}
    backbone = model.get('backbone')
    backbone = backbone if isinstance(backbone, dict) else {}
    state = _state(checkpoint, str(path))
    return Backbone(
        state=state,
        architecture=read_architecture(state, backbone, str(path), arch, num_heads),
        config=backbone,
        preprocessing=_preprocessing(model, config),
    )


def _state(checkpoint: Mapping[str, Any], path: str) -> dict[str, Tensor]:
    tensors = checkpoint.get('state_dict', checkpoint)
    tensors = tensors if isinstance(tensors, Mapping) else {}
    tensors = {name: value for name, value in tensors.items() if isinstance(value, torch.Tensor)}
    state = {name[len(PREFIX) :]: value for name, value in tensors.items() if name.startswith(PREFIX)}
    if not state and 'patch_embed.projection.weight' in tensors:
        return tensors  # bare weights, without a prefix
    if not state:
        found = f'e.g. {min(tensors)}' if tensors else 'no tensors'
        raise UserError(
            f'{path} has no backbone: no tensor is named {PREFIX}... ({found}); name the backbone.pth or a checkpoint '
            'of a run'
        )
    return state


def _config(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, Mapping) else {}
    # `config`: of BackboneExportHook; `cfg`: of mmengine's checkpoints.
    text = meta.get('config') or meta.get('cfg')
    return read_config_text(text) if isinstance(text, str) else {}


def _preprocessing(model: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    settings = model.get('data_preprocessor') or config.get('data_preprocessor')
    settings = settings if isinstance(settings, dict) else {}
    result: dict[str, Any] = {'mean': None, 'std': None, 'channel_order': None}
    for key in ('mean', 'std'):
        if isinstance(settings.get(key), (list, tuple)):
            result[key] = [round(value / 255, 6) for value in settings[key]]
    if settings.get('to_rgb') or settings.get('bgr_to_rgb'):
        result['channel_order'] = 'RGB'
    return result
