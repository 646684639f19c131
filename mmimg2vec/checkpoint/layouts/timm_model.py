"""timm's model of a backbone, and its weights as a backbone of ours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mmimg2vec.checkpoint.architecture import read_architecture
from mmimg2vec.checkpoint.backbone_file import PREFIX, build_vit, vit_features
from mmimg2vec.checkpoint.files import metadata_path, read_metadata, read_tensors
from mmimg2vec.checkpoint.fill import load_weights
from mmimg2vec.checkpoint.layouts.timm import from_timm, timm_kwargs
from mmimg2vec.checkpoint.parity import Parity, compare
from mmimg2vec.checkpoint.write import save_atomically
from mmimg2vec.environment import require
from mmimg2vec.errors import UserError
from mmimg2vec.version import __version__


def load_timm(path: str | Path) -> nn.Module:
    """Build timm's model of a file that was exported with ``--to timm``, filled, in eval mode, without a classifier.

    Raises:
        UserError: timm, the file or the JSON file beside it is missing, or it has another layout.
    """
    metadata = read_metadata(path)
    if metadata.get('layout') != 'timm':
        raise UserError(f'{path} has the layout {metadata.get("layout")}: export it with --to timm')
    return build_timm(metadata['kwargs'], read_tensors(path), str(path))


def build_timm(kwargs: Mapping[str, Any], state: Mapping[str, Tensor], source: str) -> nn.Module:
    """Build timm's ``VisionTransformer`` with these weights and no others, in eval mode.

    Raises:
        UserError: timm is missing, or the weights do not fit.
    """
    timm = require('timm.models.vision_transformer', "timm's layout", 'timm')
    model = timm.VisionTransformer(**kwargs)
    try:
        model.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        reason = ' '.join(str(error).split())[:300]
        raise UserError(f"{source} does not fit timm's VisionTransformer: {reason}") from error
    return model.eval()


def timm_features(model: nn.Module, images: Tensor) -> Tensor:
    """All tokens after the last block ``(B, L, C)``, or the normalized mean ``(B, C)`` where it has such a norm."""
    tokens = model.forward_features(images)
    if isinstance(model.fc_norm, nn.Identity):
        return tokens
    return model.forward_head(tokens, pre_logits=True)


def import_timm(
    source: str | Path,
    target: str | Path,
    arch: str | None = None,
    num_heads: int | None = None,
) -> Parity:
    """Write the weights of a timm ``VisionTransformer`` as a ``backbone.pth``, after checking the features.

    Args:
        source: State dict of timm, ``.pth`` or ``.safetensors``; a classifier's head is left out.
        target: File to write, ``.pth``.
        arch: mmpretrain's name of the architecture; not needed for files that ``export_backbone`` wrote.
        num_heads: The number of attention heads, where ``arch`` is not given.

    Raises:
        UserError: The weights are not those of a plain vision transformer, or compute something else here.
    """
    source, target = Path(source), Path(target)
    if target.suffix != '.pth' or target.is_dir():
        raise UserError(f'{target}: name the file that is to be written NAME.pth')
    weights = load_weights(str(source))
    weights = {name: tensor for name, tensor in weights.items() if not name.startswith('head.')}
    metadata = read_metadata(source) if metadata_path(source).is_file() else {}
    state = from_timm(weights)
    architecture = read_architecture(state, _config(metadata), str(source), arch, num_heads)
    kwargs = architecture.mmpretrain_kwargs()
    parity = compare(
        partial(vit_features, build_vit(kwargs, state)),
        partial(timm_features, build_timm(timm_kwargs(architecture), weights, str(source))),
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
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        save_atomically(checkpoint, target)
    except OSError as error:
        raise UserError(f'{target} cannot be written: {error}') from error
    return parity


def _config(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a backbone's config that tensors do not tell, from the file that an export left."""
    if metadata.get('layout') != 'timm':
        return {}
    kwargs = metadata['kwargs']
    arch = {
        'embed_dims': kwargs['embed_dim'],
        'num_layers': kwargs['depth'],
        'num_heads': kwargs['num_heads'],
    }
    return {'arch': arch, 'img_size': kwargs['img_size']}
