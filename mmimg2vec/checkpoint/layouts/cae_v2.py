"""Checkpoints of CAE v2's authors (Atten4Vis/CAE), and ours: whole models, or the encoder alone.

Nothing is lost on the way, in either direction: what only one side has a use for (``regresser.norm``, ``rd_pos_embed``,
the optimizer's state, names that nobody knows) is carried along, and the way back gives the same tensors under the same
names in the same order.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmimg2vec.checkpoint.layouts.base import Layout
from mmimg2vec.checkpoint.layouts.cae_v2_names import (
    OUR_QKV_BIAS,
    UNUSED,
    example,
    has_their_name,
    their_name,
    to_authors,
    to_mmimg2vec,
    unused_entries,
)
from mmimg2vec.checkpoint.layouts.first_cae import refuse_first_cae
from mmimg2vec.checkpoint.layouts.round_trip import CARRIED, pack, unpack
from mmimg2vec.errors import UserError

Names = Literal['mmimg2vec', 'authors']
Part = Literal['model', 'encoder']

# The authors' key of the weights in a checkpoint, and ours.
_WRAPPERS = {'authors': 'model', 'mmimg2vec': 'state_dict'}
_PREFIXES = {'authors': 'encoder.', 'mmimg2vec': 'backbone.'}
# What an encoder cannot be without.
_ENCODER = (
    *('cls_token', 'pos_embed', 'patch_embed.projection.weight'),
    *('layers.0.attn.qkv.weight', 'layers.0.ffn.layers.0.0.weight'),
)
# Added to the name of a bias that had one of the keys too.
_KEY = '[keys]'


def convert_checkpoint(
    checkpoint: Mapping[str, Any],
    to: Names,
    part: Part = 'model',
    num_heads: int | None = None,
) -> dict[str, Any]:
    """Convert a checkpoint to the names ``to``; a line in the log names the weights that nobody knows.

    Args:
        checkpoint: The authors' (``model`` and whatever is beside it), ours (``state_dict``), or bare weights.
        to: Whose names the result has.
        part: ``'model'``: everything; ``'encoder'``: the encoder alone, here as a ``backbone.pth``.
        num_heads: Attention heads of the encoder, which its tensors do not tell; None: those of the authors' sizes.

    Returns:
        For ``'mmimg2vec'``: ``state_dict``, ``meta`` with the backbone's config (where the heads are known),
        ``carried``. For ``'authors'``: ``model``, ``carried``. Where ``checkpoint`` is such a result itself: what it
        was made of, as it was.

    Raises:
        UserError: It is another model, cut short or has these names already, or ``part`` is not in it.
    """
    source: Names = 'authors' if to == 'mmimg2vec' else 'mmimg2vec'
    wrapper = _wrapper(checkpoint, source)
    content = checkpoint if wrapper is None else checkpoint[wrapper]
    refuse_first_cae(content)
    _check_direction(content, source, to)
    state = _part(content, _PREFIXES[source], part)
    beside = {k: v for k, v in checkpoint.items() if k not in (wrapper, CARRIED)}
    if wrapper is None:
        beside = {k: v for k, v in beside.items() if not isinstance(v, Tensor)}
    if part == 'encoder' and any(isinstance(content[n], Tensor) and n not in state for n in content):
        beside = {}  # which is of the whole model
    converted, unused = (to_mmimg2vec if to == 'mmimg2vec' else _to_theirs)(state)
    carried = checkpoint.get(CARRIED, {})
    if carried.get('from') == to:
        # UNUSED, meta and the biases of the keys were made on the way there.
        weights = {**{name: unused[name] for name in _strangers(unused)}, **converted}
        return _way_back(to, part, carried, weights, beside)
    if to == 'mmimg2vec':
        _check_complete(converted)
    if wrapper is not None and part == 'model':
        unused |= {k: v for k, v in content.items() if not isinstance(v, Tensor)}
    if strangers := _strangers(unused):
        print_log(
            f'entries that CAE v2 does not know ({len(strangers)}) are carried along, and have no effect in the '
            f'result: {", ".join(strangers[:5])}{", ..." if len(strangers) > 5 else ""}',
            logger='current',
            level=logging.WARNING,
        )
    if to == 'authors' and any(name.startswith('neck.') for name in state):
        converted.update(unused_entries(state))
    result: dict[str, Any] = {_WRAPPERS[to]: converted}
    if to == 'mmimg2vec':
        backbone = _backbone_config(converted, num_heads)
        if backbone is not None:
            result['meta'] = {'config': f'model = {dict(backbone=backbone)!r}\n'}
    names = [name for name in content if name in state or name in unused]
    return {**result, CARRIED: pack(source, checkpoint, wrapper, names, unused, beside)}


def _wrapper(checkpoint: Mapping[str, Any], source: Names) -> str | None:
    for name in (_WRAPPERS[source], *_WRAPPERS.values()):
        inner = checkpoint.get(name)
        if isinstance(inner, Mapping) and any(str(x).startswith(_PREFIXES[source]) for x in inner):
            return name
    return _WRAPPERS[source] if isinstance(checkpoint.get(_WRAPPERS[source]), Mapping) else None


def _check_direction(content: Mapping[str, Any], source: Names, to: Names) -> None:
    names = list(content) + [x for w in _WRAPPERS.values() for x in content.get(w) or ()]
    starts = {key: any(str(x).startswith(p) for x in names) for key, p in _PREFIXES.items()}
    if starts[to] and not starts[source]:
        whose = "the authors' names" if to == 'authors' else 'the names of this project'
        raise UserError(f'it has {whose} already: convert it with --to {source}')


def _check_complete(state: Mapping[str, Tensor]) -> None:
    """Look for what every encoder has, and every whole model; ``state`` has our names.

    Raises:
        UserError: A tensor is missing; names the first.
    """
    wanted = [f'backbone.{name}' for name in _ENCODER]
    if any(name.startswith('neck.') for name in state):
        wanted += ['neck.mask_token', 'neck.norm.weight', 'neck.pred.weight']
    missing = [name for name in wanted if name not in state]
    if missing:
        raise UserError(f'the checkpoint is cut short, or of another model: it has no {their_name(missing[0])}')


def _way_back(
    to: Names,
    part: Part,
    carried: Mapping[str, Any],
    weights: dict[str, Tensor],
    beside: dict[str, Any],
) -> dict[str, Any]:
    """What ``carried`` was made of, with these weights under their first names, and new entries ``beside`` them."""
    unused = carried['unused']
    if part == 'encoder':
        unused = {k: v for k, v in unused.items() if k.startswith(_PREFIXES[to])}
        if any(not name.startswith(_PREFIXES[to]) for name in carried['names']):
            carried = {**carried, 'rest': {}}
    if to == 'authors':
        beside.pop('meta', None)
    else:
        weights = _with_keys(weights, unused)
        unused = {name: value for name, value in unused.items() if not name.endswith(_KEY)}
    return unpack({**carried, 'unused': unused}, weights, beside)


def _to_theirs(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """As :func:`to_authors`, and what has no place there; a fusion has to have one."""
    known, unused = {}, {}
    for name, tensor in state.items():
        if OUR_QKV_BIAS.fullmatch(name):
            known[name] = tensor
            key = tensor.chunk(3)[1]
            if key.any():
                unused[name + _KEY] = key.clone()
        elif name.startswith('fusion.') or has_their_name(name):
            known[name] = tensor
        else:
            unused[name] = tensor
    return to_authors(known), unused


def _with_keys(weights: Mapping[str, Tensor], unused: Mapping[str, Any]) -> dict[str, Tensor]:
    """Put the biases of the keys, which :func:`_to_theirs` took off, where they were."""
    weights = dict(weights)
    for name in [name.removesuffix(_KEY) for name in unused if name.endswith(_KEY)]:
        if name in weights:
            query, _, value = weights[name].chunk(3)
            weights[name] = torch.cat((query, unused[name + _KEY], value))
    return weights


def _strangers(unused: Mapping[str, Any]) -> list[str]:
    return [name for name in unused if name not in UNUSED and not name.endswith(_KEY)]


def _part(state: Mapping[str, Any], prefix: str, part: Part) -> dict[str, Tensor]:
    state = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    if part == 'model':
        return state
    encoder = {name: value for name, value in state.items() if name.startswith(prefix)}
    if not encoder:
        raise UserError(f'there is no encoder in it: no tensor is named {prefix}... ({example(state)})')
    return encoder


def _backbone_config(state: Mapping[str, Tensor], num_heads: int | None) -> dict[str, Any] | None:
    """What the encoder looks like, from its tensors; None where nobody says how many heads it has.

    Raises:
        UserError: The width cannot be divided among the heads.
    """
    projection = state['backbone.patch_embed.projection.weight']
    width, in_channels, patch = projection.shape[:3]
    num_layers = sum(name.endswith('.attn.qkv.weight') for name in state)
    # Tiny, small and base have 12 heads, large has 16.
    heads = {192: 12, 384: 12, 768: 12, 1024: 16}.get(width) if num_heads is None else num_heads
    if heads is None:
        print_log(
            f"an encoder {width} wide is none of the authors' sizes, and its tensors do not tell the number of "
            'attention heads: the result does not say what the backbone is; add --num-heads N where it should',
            logger='current',
            level=logging.WARNING,
        )
        return None
    if heads < 1 or width % heads:
        raise UserError(f'--num-heads {heads} does not divide the width {width} of the encoder')
    side = math.isqrt(state['backbone.pos_embed'].shape[1] - 1)
    return dict(
        type='mmimg2vec.MaskedVisionTransformer',
        arch=dict(
            embed_dims=width,
            num_layers=num_layers,
            num_heads=heads,
            feedforward_channels=state['backbone.layers.0.ffn.layers.0.0.weight'].shape[0],
        ),
        img_size=side * patch,
        patch_size=patch,
        in_channels=in_channels,
        key_bias=False,
        layer_scale_init_value=0.1 if 'backbone.layers.0.attn.gamma1.weight' in state else 0.0,
    )


CAE_V2 = Layout(
    'cae_v2',
    to_ours=lambda state: to_mmimg2vec(state)[0],
    to_theirs=to_authors,
    whose='authors',
    convert=convert_checkpoint,
)
