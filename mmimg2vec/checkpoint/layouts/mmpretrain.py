"""The backbone under its own names, without a prefix: for ``mmpretrain.VisionTransformer`` outside this project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from mmimg2vec.checkpoint.architecture import Architecture
from mmimg2vec.checkpoint.backbone_file import build_vit, vit_features
from mmimg2vec.checkpoint.layouts.base import Layout, Network


def _unchanged(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return dict(state)


_NETWORK = Network(
    kwargs=Architecture.mmpretrain_kwargs,
    config=dict,
    build=build_vit,
    features=vit_features,
    model_name=lambda architecture: None,
    any_size=True,
    suffixes=('.pth',),
)
MMPRETRAIN = Layout('mmpretrain', to_ours=_unchanged, to_theirs=_unchanged, whose='mmpretrain', network=_NETWORK)
SAFETENSORS = replace(MMPRETRAIN, name='safetensors', network=replace(_NETWORK, suffixes=('.safetensors',)))
