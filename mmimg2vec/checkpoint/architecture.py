"""What a vision transformer looks like, read from its tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor

from mmimg2vec.errors import UserError

# Backbones whose features without a mask are those of mmpretrain.VisionTransformer, under the same names.
_PLAIN_TYPES = (
    'VisionTransformer',
    'MaskedVisionTransformer',
    'FrozenVisionTransformer',
    'MAEViT',
)
_NEEDED = ('patch_embed.projection.weight', 'pos_embed', 'layers.0.attn.qkv.weight')
# Arguments that change the computation in ways that a plain ViT elsewhere does not have.
_UNUSUAL = ('layer_cfgs', 'patch_cfg')


@dataclass(frozen=True)
class Architecture:
    """A plain vision transformer.

    Attributes:
        embed_dims: Width of a token.
        num_layers: Number of blocks.
        num_heads: Attention heads of a block.
        feedforward_channels: Hidden width of a block's MLP.
        in_channels: Channels of an image.
        patch_size: (height, width) in pixels.
        img_size: (height, width) in pixels that the position embeddings are for.
        qkv_bias: Whether queries, keys and values have a bias.
        layer_scale: Whether the blocks' branches are scaled by learned weights.
        class_token: Whether there is one.
        final_norm: Whether the tokens are normalized after the last block.
        mean_norm: Whether the mean of the patches is normalized instead (``out_type='avg_featmap'``).
        pre_norm: Whether the tokens are normalized before the first block.
        eps: Of the layer norms.
        interpolate_mode: How position embeddings are resized.
    """

    embed_dims: int
    num_layers: int
    num_heads: int
    feedforward_channels: int
    in_channels: int
    patch_size: tuple[int, int]
    img_size: tuple[int, int]
    qkv_bias: bool
    layer_scale: bool
    class_token: bool
    final_norm: bool
    mean_norm: bool
    pre_norm: bool
    eps: float = 1e-6
    interpolate_mode: str = 'bicubic'

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches at ``img_size``."""
        return (
            self.img_size[0] // self.patch_size[0],
            self.img_size[1] // self.patch_size[1],
        )

    def mmpretrain_kwargs(self) -> dict[str, Any]:
        """Arguments of ``mmpretrain.VisionTransformer``; all tokens come out, or the normalized mean."""
        return {
            'arch': {
                'embed_dims': self.embed_dims,
                'num_layers': self.num_layers,
                'num_heads': self.num_heads,
                'feedforward_channels': self.feedforward_channels,
            },
            'img_size': collapse(self.img_size),
            'patch_size': collapse(self.patch_size),
            'in_channels': self.in_channels,
            'qkv_bias': self.qkv_bias,
            'norm_cfg': {'type': 'LN', 'eps': self.eps},
            'final_norm': self.final_norm,
            'with_cls_token': self.class_token,
            'interpolate_mode': self.interpolate_mode,
            # The value is overwritten by the weights; above zero it says that there are such.
            'layer_scale_init_value': 1e-5 if self.layer_scale else 0.0,
            'pre_norm': self.pre_norm,
            'out_type': 'avg_featmap' if self.mean_norm else 'raw',
        }


def collapse(pair: tuple[int, int]) -> int | tuple[int, int]:
    """One number for a square."""
    return pair[0] if pair[0] == pair[1] else pair


def read_architecture(
    state: Mapping[str, Tensor],
    backbone: Mapping[str, Any] | None,
    source: str,
    arch: str | None = None,
    num_heads: int | None = None,
) -> Architecture:
    """Work out the architecture of a state dict in mmpretrain's names.

    Args:
        state: Name -> tensor, without a prefix.
        backbone: The backbone's part of the config, where the file has one; the number of heads, an image that is not
            square and the norm's epsilon cannot be read from tensors.
        source: What to call the file in errors.
        arch: mmpretrain's name of the architecture, where there is no config.
        num_heads: The number of heads, where there is neither.

    Raises:
        UserError: Not a plain vision transformer; the number of heads is not known or does not fit.
    """
    backbone = backbone or {}
    _check_type(backbone.get('type'), source)
    missing = [name for name in _NEEDED if name not in state]
    if missing:
        raise UserError(
            f'{source} is not a vision transformer of mmpretrain: it has no {missing[0]} (but {min(state)})'
        )
    if 'layers.0.ffn.layers.0.0.weight' not in state:
        raise UserError(f'{source}: the MLP of its blocks is not the plain one, with two layers')
    for key in _UNUSUAL:
        if backbone.get(key):
            raise UserError(f'{source}: a backbone with {key} is not a plain vision transformer')
    projection = state['patch_embed.projection.weight']
    patch_size = (projection.shape[2], projection.shape[3])
    class_token = 'cls_token' in state
    tokens = state['pos_embed'].shape[1] - class_token
    grid = _grid(tokens, backbone.get('img_size'), patch_size, source)
    embed_dims = projection.shape[0]
    num_layers = len({name.split('.')[1] for name in state if re.match(r'layers\.\d+\.', name)})
    found = Architecture(
        embed_dims=embed_dims,
        num_layers=num_layers,
        num_heads=_heads(backbone, arch, num_heads, embed_dims, num_layers, source),
        feedforward_channels=state['layers.0.ffn.layers.0.0.weight'].shape[0],
        in_channels=projection.shape[1],
        patch_size=patch_size,
        img_size=(grid[0] * patch_size[0], grid[1] * patch_size[1]),
        qkv_bias='layers.0.attn.qkv.bias' in state,
        layer_scale='layers.0.attn.gamma1.weight' in state,
        class_token=class_token,
        final_norm='ln1.weight' in state,
        mean_norm='ln2.weight' in state,
        pre_norm='pre_norm.weight' in state,
        eps=(backbone.get('norm_cfg') or {}).get('eps', 1e-6),
        interpolate_mode=backbone.get('interpolate_mode', 'bicubic'),
    )
    if found.embed_dims % found.num_heads:
        raise UserError(f'{source}: {found.embed_dims} channels cannot be split among {found.num_heads} heads')
    return found


def _check_type(kind: str | None, source: str) -> None:
    if kind is None or kind.split('.')[-1] in _PLAIN_TYPES:
        return
    raise UserError(
        f'{source} holds a {kind.split(".")[-1]}, not a plain vision transformer: export the backbone.pth of a '
        'pre-training run'
    )


def _grid(tokens: int, img_size: Any, patch_size: tuple[int, int], source: str) -> tuple[int, int]:
    if img_size is not None:
        height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
        grid = (height // patch_size[0], width // patch_size[1])
        if grid[0] * grid[1] == tokens:
            return grid
    side = math.isqrt(tokens)
    if side * side != tokens:
        raise UserError(
            f'{source}: its {tokens} position embeddings of patches are no square, and no config tells their shape'
        )
    return side, side


def _heads(
    backbone: Mapping[str, Any],
    arch: str | None,
    num_heads: int | None,
    embed_dims: int,
    num_layers: int,
    source: str,
) -> int:
    named: Any = backbone.get('arch', 'base') if backbone else arch
    if named is None and num_heads is not None:
        return num_heads
    zoo = VisionTransformer.arch_zoo
    if named is None:
        fits = [
            name
            for name, settings in zoo.items()
            if (settings['embed_dims'], settings['num_layers']) == (embed_dims, num_layers)
        ]
        hint = f'--arch {fits[-1]}' if fits else '--num-heads N'
        raise UserError(
            f'{source} carries no config, and its shapes ({embed_dims} wide, {num_layers} blocks) do not tell the '
            f'number of attention heads: add {hint}'
        )
    if isinstance(named, str):
        if named.lower() not in zoo:
            raise UserError(f"{named} is no architecture of mmpretrain's: {', '.join(sorted(zoo))}")
        named = zoo[named.lower()]
    if (named['embed_dims'], named['num_layers']) != (embed_dims, num_layers):
        raise UserError(
            f'{source} is {embed_dims} wide with {num_layers} blocks, the architecture named {named["embed_dims"]} '
            f'wide with {named["num_layers"]}: name the one that it was trained with'
        )
    return named['num_heads']
