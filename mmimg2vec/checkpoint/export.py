"""A pre-trained backbone for use elsewhere, and one from elsewhere for use here; features are compared each time."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor, nn

from mmimg2vec.checkpoint.architecture import Architecture, read_architecture
from mmimg2vec.checkpoint.backbone_file import PREFIX, Backbone, build_vit, read_backbone, vit_features
from mmimg2vec.checkpoint.files import (
    check_target,
    metadata_path,
    read_metadata,
    read_tensors,
    write_checked,
    write_tensors,
)
from mmimg2vec.checkpoint.layouts.base import NOT_OF_BACKBONE, Network
from mmimg2vec.checkpoint.layouts.table import EXPORTS, LAYOUTS
from mmimg2vec.checkpoint.model_card import write_card
from mmimg2vec.checkpoint.onnx_graph import OPSET, write_onnx
from mmimg2vec.checkpoint.parity import Parity, compare
from mmimg2vec.checkpoint.weights import load_weights
from mmimg2vec.errors import UserError
from mmimg2vec.utils.write import save_atomically, write_json
from mmimg2vec.version import __version__

#: The layout that is no naming of tensors.
ONNX = 'onnx'


def export_backbone(
    source: str | Path,
    target: str | Path,
    layout: str,
    arch: str | None = None,
    num_heads: int | None = None,
    img_size: tuple[int, int] | None = None,
    opset: int = OPSET,
) -> dict[str, Any]:
    """Write the backbone of a checkpoint for use elsewhere, after checking that it computes the same features.

    Args:
        source: ``backbone.pth`` of a run, or one of its checkpoints.
        target: File to write; ``target.json`` beside it says how the network is built. A name without an ending is a
            folder as the library's hub has it, with ``model.safetensors`` and ``config.json`` (``'timm'`` and
            ``'transformers'``).
        layout: ``'timm'``: timm's names; ``'transformers'``: those of its ``ViTModel``; ``'mmpretrain'``: mmpretrain's
            names without a prefix, as ``.pth``; ``'safetensors'``: the same as ``.safetensors``; ``'onnx'``: a graph
            ``images`` ``(B, C, H, W)`` -> ``features``, for batches and images of any size.
        arch: mmpretrain's name of the architecture, where ``source`` carries no config.
        num_heads: The number of attention heads, where ``source`` carries no config.
        img_size: (height, width) in pixels that a network of timm or transformers is to be built for; None is that of
            pre-training. The position embeddings are resized as mmpretrain does it at run time; timm's own way differs.
        opset: Version of ONNX's operators.

    Returns:
        What was written to ``target.json``: ``kwargs`` (of ``mmpretrain.VisionTransformer``, or of the other library's
        network), ``timm_model`` (timm's name of this very model, or None), ``mean``, ``std``, ``channel_order``,
        ``parity``.

    Raises:
        UserError: ``source`` holds no plain vision transformer, ``target`` cannot be written, or the features of
            the file differ from ours; nothing is left at ``target`` then.
    """
    source, target = Path(source), Path(target)
    network = None if layout == ONNX else _network(layout)
    hub_files = None
    if network is not None and network.hub_files is not None and not target.suffix:
        hub_files, folder = network.hub_files, target
        target = folder / 'model.safetensors'
    check_target(target, ('.onnx',) if network is None else network.suffixes, layout)
    if target.resolve() == source.resolve():
        raise UserError(f'{target} is the file to be exported: name another one')
    backbone = read_backbone(source, arch, num_heads)
    architecture = backbone.architecture
    if img_size is not None:
        if network is None or network.any_size:
            raise UserError(f'an image size is not chosen for the layout {layout}: it takes images of any size')
        architecture = _resized(architecture, img_size)
    metadata = {
        'layout': layout,
        'source': source.name,
        'mmimg2vec_version': __version__,
        'kwargs': architecture.mmpretrain_kwargs() if network is None else network.kwargs(architecture),
        'timm_model': None if network is None else network.model_name(architecture),
        **backbone.description.preprocessing,
    }
    if network is None:
        metadata = _write_graph(backbone, target, metadata, opset)
        write_card(target, {'meta': backbone.meta}, layout=layout)
        return metadata
    state = _export_state(backbone, architecture, layout)
    metadata = write_checked(
        target, partial(write_tensors, state), metadata, lambda part: _check(part, backbone, architecture, layout)
    )
    # A hub shows README.md.
    card = None if hub_files is None else folder / 'README.md'
    write_card(target, {'meta': backbone.meta}, card, layout)
    if hub_files is not None:
        for name, content in hub_files(architecture, backbone.description.preprocessing).items():
            write_json(folder / name, content, indent=2)
    return metadata


def _write_graph(backbone: Backbone, target: Path, metadata: dict[str, Any], opset: int) -> dict[str, Any]:
    architecture = backbone.architecture
    parity: list[Parity] = []

    def write(part: Path) -> None:
        sizes = (architecture.img_size, larger_size(architecture.img_size, architecture.patch_size))
        parity.extend(write_onnx(_Features(backbone.build()), part, sizes, architecture.in_channels, 'features', opset))

    return write_checked(
        target,
        write,
        {**metadata, 'opset': opset, 'input': 'images', 'output': 'features'},
        lambda part: {'parity': [dataclasses.asdict(result) for result in parity]},
    )


class _Features(nn.Module):
    """A backbone as a network with one output."""

    def __init__(self, backbone: VisionTransformer) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        return vit_features(self.backbone, images)


def larger_size(img_size: tuple[int, int], patch_size: tuple[int, int]) -> tuple[int, int]:
    """Another size to compare features at: two more rows of patches and one more column."""
    return img_size[0] + 2 * patch_size[0], img_size[1] + patch_size[1]


def load_exported(path: str | Path) -> nn.Module:
    """Build the network of a file that :func:`export_backbone` wrote, filled, in eval mode, without a classifier.

    Raises:
        UserError: The file or the JSON file beside it is missing, or it is of another network.
    """
    metadata = read_metadata(path)
    return _network(metadata.get('layout')).build(metadata['kwargs'], read_tensors(path), str(path))


def import_backbone(
    source: str | Path,
    target: str | Path,
    layout: str = 'timm',
    arch: str | None = None,
    num_heads: int | None = None,
) -> Parity:
    """Write the weights of another library's vision transformer as a ``backbone.pth``, after checking the features.

    Args:
        source: State dict, ``.pth`` or ``.safetensors``; a classifier's head and MAE's decoder are left out.
        target: File to write, ``.pth``.
        layout: Whose names it has.
        arch: mmpretrain's name of the architecture; not needed for files that :func:`export_backbone` wrote.
        num_heads: The number of attention heads, where ``arch`` is not given.

    Raises:
        UserError: The weights are not those of a plain vision transformer, or compute something else here.
    """
    source, target = Path(source), Path(target)
    network = _network(layout)
    check_target(target, ('.pth',), 'backbone.pth')
    loaded = load_weights(str(source))
    weights = {name: tensor for name, tensor in loaded.items() if not name.startswith(NOT_OF_BACKBONE)}
    metadata = read_metadata(source) if metadata_path(source).is_file() else {}
    state = LAYOUTS[layout].to_ours(weights)
    config = network.config(metadata['kwargs']) if metadata.get('layout') == layout else {}
    architecture = read_architecture(state, config, str(source), arch, num_heads)
    kwargs = architecture.mmpretrain_kwargs()
    parity = compare(
        partial(vit_features, build_vit(kwargs, state, str(source))),
        partial(network.features, network.build(network.kwargs(architecture), weights, str(source))),
        architecture.img_size,
        architecture.in_channels,
    )
    model = {'backbone': {'type': 'mmpretrain.VisionTransformer', **kwargs}}
    if metadata.get('mean') and metadata.get('std'):
        model['data_preprocessor'] = {
            'mean': [round(value * 255, 3) for value in metadata['mean']],
            'std': [round(value * 255, 3) for value in metadata['std']],
            'to_rgb': metadata.get('channel_order') == 'RGB',
        }
    meta = {'mmimg2vec_version': __version__, 'config': f'model = {model!r}\n'}
    checkpoint = {'state_dict': {PREFIX + name: state[name] for name in state}, 'meta': meta}
    save_atomically(checkpoint, target)
    return parity


def _network(layout: str | None) -> Network:
    found = LAYOUTS[layout].network if layout in LAYOUTS else None
    if found is None:
        raise UserError(f'the layout {layout!r} has no network of its own: choose one of {", ".join(EXPORTS)}')
    return found


def _export_state(backbone: Backbone, architecture: Architecture, layout: str) -> dict[str, Tensor]:
    state = dict(backbone.state)
    state['pos_embed'] = resize_pos_embed(
        state['pos_embed'],
        backbone.architecture.grid,
        architecture.grid,
        architecture.interpolate_mode,
        int(architecture.class_token),
    )
    return LAYOUTS[layout].to_theirs(state)


def _check(part: Path, backbone: Backbone, architecture: Architecture, layout: str) -> dict[str, Any]:
    """Compare the written file with the network of the checkpoint, at the image size and at another one."""
    reference, network = backbone.build(), _network(layout)
    larger = larger_size(architecture.img_size, architecture.patch_size)
    results = []
    for img_size in (architecture.img_size, larger):
        sized, written = architecture, read_tensors(part)
        if img_size != architecture.img_size and not network.any_size:
            sized = dataclasses.replace(architecture, img_size=img_size)
            (name,) = LAYOUTS[layout].to_theirs({'pos_embed': backbone.state['pos_embed']})
            written |= {name: _export_state(backbone, sized, layout)[name]}
        theirs = network.build(network.kwargs(sized), written, str(part))
        results.append(
            compare(
                partial(vit_features, reference),
                partial(network.features, theirs),
                img_size,
                architecture.in_channels,
            )
        )
    return {'parity': [dataclasses.asdict(result) for result in results]}


def _resized(architecture: Architecture, img_size: tuple[int, int]) -> Architecture:
    if any(side % size for side, size in zip(img_size, architecture.patch_size, strict=True)):
        raise UserError(
            f'img_size {img_size[0]} x {img_size[1]} does not divide into patches of {architecture.patch_size[0]} x '
            f'{architecture.patch_size[1]}'
        )
    return dataclasses.replace(architecture, img_size=img_size)
