"""Writing a pre-trained backbone for use elsewhere."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any, Literal

from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor

from mmimg2vec.checkpoint.architecture import Architecture
from mmimg2vec.checkpoint.backbone_file import Backbone, build_vit, read_backbone, vit_features
from mmimg2vec.checkpoint.files import check_target, read_tensors, write_checked
from mmimg2vec.checkpoint.layouts.timm import timm_kwargs, timm_model_name, to_timm
from mmimg2vec.checkpoint.layouts.timm_model import build_timm, timm_features
from mmimg2vec.checkpoint.parity import compare
from mmimg2vec.errors import UserError
from mmimg2vec.version import __version__

Layout = Literal['timm', 'plain', 'safetensors']


def export_backbone(
    source: str | Path,
    target: str | Path,
    layout: Layout,
    arch: str | None = None,
    num_heads: int | None = None,
    img_size: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Write the backbone of a checkpoint for use elsewhere, after checking that it computes the same features.

    Args:
        source: ``backbone.pth`` of a run, or one of its checkpoints.
        target: File to write; ``target.json`` beside it says how the network is built.
        layout: ``'timm'``: timm's names; ``'plain'``: mmpretrain's names without a prefix, as ``.pth``;
            ``'safetensors'``: the same as ``.safetensors``.
        arch: mmpretrain's name of the architecture, where ``source`` carries no config.
        num_heads: The number of attention heads, where ``source`` carries no config.
        img_size: (height, width) in pixels that timm's model is to be built for; None is that of pre-training. The
            position embeddings are resized as mmpretrain does it at run time; timm's own way differs.

    Returns:
        What was written to ``target.json``: ``kwargs`` (of ``mmpretrain.VisionTransformer``, or of timm's),
        ``timm_model`` (timm's name of this very model, or None), ``mean``, ``std``, ``channel_order``, ``parity``.

    Raises:
        UserError: ``source`` holds no plain vision transformer, ``target`` cannot be written, or the features of
            the file differ from ours; nothing is left at ``target`` then.
    """
    source, target = Path(source), Path(target)
    wanted = '.safetensors' if layout == 'safetensors' else '.pth'
    if layout != 'timm' and target.suffix != wanted:
        raise UserError(f'{target}: the layout {layout} is written as NAME{wanted}')
    check_target(target)
    if target.resolve() == source.resolve():
        raise UserError(f'{target} is the file to be exported: name another one')
    backbone = read_backbone(source, arch, num_heads)
    architecture = backbone.architecture
    if img_size is not None:
        if layout != 'timm':
            raise UserError(
                f'an image size is chosen for timm; with the layout {layout} mmpretrain takes images of any size'
            )
        architecture = _resized(architecture, img_size)
    if layout == 'timm':
        kwargs, name = timm_kwargs(architecture), timm_model_name(architecture)
    else:
        kwargs, name = architecture.mmpretrain_kwargs(), None
    metadata = {
        'layout': layout,
        'source': source.name,
        'mmimg2vec_version': __version__,
        'kwargs': kwargs,
        'timm_model': name,
        **backbone.preprocessing,
    }
    state = _export_state(backbone, architecture, layout)
    return write_checked(target, state, metadata, lambda part: _check(part, backbone, architecture, layout))


def _export_state(backbone: Backbone, architecture: Architecture, layout: Layout) -> dict[str, Tensor]:
    state = dict(backbone.state)
    state['pos_embed'] = resize_pos_embed(
        state['pos_embed'],
        backbone.architecture.grid,
        architecture.grid,
        architecture.interpolate_mode,
        int(architecture.class_token),
    )
    return to_timm(state) if layout == 'timm' else state


def _check(part: Path, backbone: Backbone, architecture: Architecture, layout: Layout) -> dict[str, Any]:
    """Compare the written file with the network of the checkpoint, at the image size and at another one."""
    reference = backbone.build()
    larger = (
        architecture.img_size[0] + 2 * architecture.patch_size[0],
        architecture.img_size[1] + architecture.patch_size[1],
    )
    results = []
    for img_size in (architecture.img_size, larger):
        # timm's model is built for one size; mmpretrain's takes any.
        sized = dataclasses.replace(architecture, img_size=img_size)
        written = read_tensors(part)
        if layout == 'timm':
            if img_size != architecture.img_size:
                written = written | {'pos_embed': _export_state(backbone, sized, layout)['pos_embed']}
            theirs = partial(timm_features, build_timm(timm_kwargs(sized), written, str(part)))
        else:
            model = build_vit(architecture.mmpretrain_kwargs(), written)
            theirs = partial(vit_features, model)
        ours = partial(vit_features, reference)
        results.append(compare(ours, theirs, img_size, architecture.in_channels))
    return {'parity': [dataclasses.asdict(result) for result in results]}


def _resized(architecture: Architecture, img_size: tuple[int, int]) -> Architecture:
    if any(side % size for side, size in zip(img_size, architecture.patch_size, strict=True)):
        raise UserError(
            f'img_size {img_size[0]} x {img_size[1]} does not divide into patches of {architecture.patch_size[0]} x '
            f'{architecture.patch_size[1]}'
        )
    return dataclasses.replace(architecture, img_size=img_size)
