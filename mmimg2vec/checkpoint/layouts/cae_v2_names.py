"""The names of CAE v2's weights with its authors (Atten4Vis/CAE), and ours: pure functions on names and tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from mmpretrain.models.utils import build_2d_sincos_position_embedding
from torch import Tensor

from mmimg2vec.checkpoint.layouts.first_cae import refuse_first_cae
from mmimg2vec.errors import UserError

# Their names and ours; {n} is the number of a block, {p} 'weight' or 'bias'. Their q_bias and v_bias of the encoder,
# which become our qkv.bias, are not among them.
_NAMES = (
    ('encoder.cls_token', 'backbone.cls_token'),
    ('encoder.pos_embed', 'backbone.pos_embed'),
    ('encoder.patch_embed.proj.{p}', 'backbone.patch_embed.projection.{p}'),
    ('encoder.blocks.{n}.gamma_1', 'backbone.layers.{n}.attn.gamma1.weight'),
    ('encoder.blocks.{n}.gamma_2', 'backbone.layers.{n}.ffn.gamma2.weight'),
    ('encoder.blocks.{n}.norm1.{p}', 'backbone.layers.{n}.ln1.{p}'),
    ('encoder.blocks.{n}.norm2.{p}', 'backbone.layers.{n}.ln2.{p}'),
    ('encoder.blocks.{n}.attn.qkv.weight', 'backbone.layers.{n}.attn.qkv.weight'),
    ('encoder.blocks.{n}.attn.proj.{p}', 'backbone.layers.{n}.attn.proj.{p}'),
    ('encoder.blocks.{n}.mlp.fc1.{p}', 'backbone.layers.{n}.ffn.layers.0.0.{p}'),
    ('encoder.blocks.{n}.mlp.fc2.{p}', 'backbone.layers.{n}.ffn.layers.1.{p}'),
    ('encoder.norm.{p}', 'backbone.ln1.{p}'),
    ('mask_token', 'neck.mask_token'),
    ('encoder_to_regresser.{p}', 'neck.embed.0.{p}'),
    ('encoder_to_regresser_norm.{p}', 'neck.embed.1.{p}'),
    ('regresser.regressor_blocks.{n}.gamma_1_cross', 'neck.blocks.{n}.gamma1.weight'),
    ('regresser.regressor_blocks.{n}.gamma_2_cross', 'neck.blocks.{n}.gamma2.weight'),
    ('regresser.regressor_blocks.{n}.norm1_q.{p}', 'neck.blocks.{n}.norm_query.{p}'),
    ('regresser.regressor_blocks.{n}.norm1_k.{p}', 'neck.blocks.{n}.norm_key.{p}'),
    ('regresser.regressor_blocks.{n}.norm1_v.{p}', 'neck.blocks.{n}.norm_value.{p}'),
    ('regresser.regressor_blocks.{n}.norm2_cross.{p}', 'neck.blocks.{n}.norm_mlp.{p}'),
    ('regresser.regressor_blocks.{n}.cross_attn.q_bias', 'neck.blocks.{n}.query.bias'),
    ('regresser.regressor_blocks.{n}.cross_attn.v_bias', 'neck.blocks.{n}.value.bias'),
    ('regresser.regressor_blocks.{n}.cross_attn.q.weight', 'neck.blocks.{n}.query.weight'),
    ('regresser.regressor_blocks.{n}.cross_attn.k.weight', 'neck.blocks.{n}.key.weight'),
    ('regresser.regressor_blocks.{n}.cross_attn.v.weight', 'neck.blocks.{n}.value.weight'),
    ('regresser.regressor_blocks.{n}.cross_attn.proj.{p}', 'neck.blocks.{n}.proj.{p}'),
    ('regresser.regressor_blocks.{n}.mlp_cross.fc1.{p}', 'neck.blocks.{n}.mlp.0.{p}'),
    ('regresser.regressor_blocks.{n}.mlp_cross.fc2.{p}', 'neck.blocks.{n}.mlp.2.{p}'),
    ('decoder.norm.{p}', 'neck.norm.{p}'),
    ('decoder.head.{p}', 'neck.pred.{p}'),
)
UNUSED = ('regresser.norm.weight', 'regresser.norm.bias', 'rd_pos_embed')
_THEIR_QKV_BIAS = re.compile(r'encoder\.blocks\.(\d+)\.attn\.([qv])_bias')
OUR_QKV_BIAS = re.compile(r'backbone\.layers\.(\d+)\.attn\.qkv\.bias')


def to_mmimg2vec(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Rename the authors' weights into those of ``mmimg2vec.CAEv2``; tensors that only change the name are not copied.

    Args:
        state: Name -> tensor of the authors' model, or of its encoder alone (``encoder.*``).

    Returns:
        Name -> tensor here, and what has no place here under its own name.

    Raises:
        UserError: It is another model, such as the first CAE.
    """
    refuse_first_cae(state)
    if 'encoder.cls_token' not in state:
        raise UserError(
            f"this is no checkpoint of CAE v2's authors: it has no encoder.cls_token (but e.g. {example(state)})"
        )
    ours, unused = {}, {}
    for name, tensor in state.items():
        bias = _THEIR_QKV_BIAS.fullmatch(name)
        if bias is not None:
            values = {x: state.get(name[: -len('q_bias')] + f'{x}_bias') for x in 'qv'}
            if values['q'] is None or values['v'] is None:
                raise UserError(f'the checkpoint has {name}, but not its counterpart')
            parts = (values['q'], torch.zeros_like(values['q']), values['v'])
            ours[f'backbone.layers.{bias[1]}.attn.qkv.bias'] = torch.cat(parts)
        elif (new := _translate(name, _TO_OURS)) is None:
            unused[name] = tensor
        else:
            ours[new] = tensor
    _check_table(state)
    return ours, unused


def to_authors(state: Mapping[str, Tensor], unused: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Rename the weights of ``mmimg2vec.CAEv2`` into the authors'; the inverse of :func:`to_mmimg2vec`.

    Gradients can be renamed too. A bias of the keys is dropped: it has no influence on attention.

    Args:
        state: Name -> tensor of ``mmimg2vec.CAEv2``, or of its backbone alone.
        unused: What the authors' model holds beside; None leaves it out.

    Raises:
        UserError: It is another model.
    """
    if not any(name.startswith('backbone.') for name in state):
        raise UserError(f'this is no checkpoint of mmimg2vec.CAEv2: it has no backbone. (but e.g. {example(state)})')
    theirs = {}
    for name, tensor in state.items():
        bias = OUR_QKV_BIAS.fullmatch(name)
        if bias is not None:
            query, _, value = tensor.chunk(3)
            theirs[f'encoder.blocks.{bias[1]}.attn.q_bias'] = query.clone()
            theirs[f'encoder.blocks.{bias[1]}.attn.v_bias'] = value.clone()
        elif (new := _translate(name, _TO_THEIRS)) is None:
            raise UserError(
                f"the checkpoint holds {name}, a name that CAE v2's authors have no place for; name one of CAE v2"
            )
        else:
            theirs[new] = tensor
    return {**theirs, **(unused or {})}


def unused_entries(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the authors' code wants beside the weights of ``mmimg2vec.CAEv2``: a norm without use, fixed positions.

    Raises:
        UserError: The token grid is not square, which their code does not know.
    """
    width = state['neck.mask_token'].shape[-1]
    table = _position_table(state['backbone.pos_embed'].shape[1] - 1, width)
    if table is None:
        raise UserError("the token grid is not square: the authors' code knows square images only")
    values = (torch.ones(width), torch.zeros(width), table)
    return dict(zip(UNUSED, values, strict=True))


def _compile(pairs: list[tuple[str, str]]) -> list[tuple[re.Pattern, str]]:
    groups = {'{n}': r'(?P<n>\d+)', '{p}': '(?P<p>weight|bias)'}
    patterns = []
    for old, new in pairs:
        pattern = re.escape(old)
        for hole, group in groups.items():
            pattern = pattern.replace(re.escape(hole), group)
        patterns.append((re.compile(pattern), new))
    return patterns


_TO_OURS = _compile(list(_NAMES))
_TO_THEIRS = _compile([(ours, theirs) for theirs, ours in _NAMES])


def has_their_name(name: str) -> bool:
    """Whether a weight of ours, ``qkv.bias`` aside, has a name with the authors."""
    return _translate(name, _TO_THEIRS) is not None


def their_name(name: str) -> str:
    """The authors' name of a weight of ours, for a message; ours where they have none."""
    return _translate(name, _TO_THEIRS) or name


def _translate(name: str, table: list[tuple[re.Pattern, str]]) -> str | None:
    for pattern, new in table:
        match = pattern.fullmatch(name)
        if match is not None:
            return new.format(**match.groupdict())
    return None


def example(state: Mapping[str, Any]) -> str:
    """One of the names, for a message."""
    return min(map(str, state), default='nothing')


def _position_table(num_patches: int, width: int) -> Tensor | None:
    side = math.isqrt(num_patches)
    if side * side != num_patches:
        return None
    return build_2d_sincos_position_embedding(side, width, cls_token=True)


def _check_table(state: Mapping[str, Tensor]) -> None:
    """The neck computes its positions itself, so the checkpoint's have to be those.

    Raises:
        UserError: They are not.
    """
    table = state.get('rd_pos_embed')
    if table is None:
        return
    wanted = _position_table(table.shape[1] - 1, table.shape[2])
    if wanted is None or not torch.allclose(table.float(), wanted, atol=1e-3):
        raise UserError('rd_pos_embed of the checkpoint is not the fixed sine-cosine table of CAE v2 on a square grid')
