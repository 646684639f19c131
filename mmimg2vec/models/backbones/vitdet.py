"""Vision transformer for detection: windows, relative positions, any image size (ViTDet, arXiv 2203.16527)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.model.weight_init import PretrainedInit, trunc_normal_
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.utils import MultiheadAttention, resize_pos_embed
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmimg2vec.errors import UserError
from mmimg2vec.models.layers.windows import (
    merge_windows,
    relative_position_bias,
    resize_table,
    split_windows,
)
from mmimg2vec.registry import MODELS


class GridAttention(BaseModule):
    """Self-attention on a token grid, within windows or over the whole grid.

    Tokens that pad the last windows take part in attention, as in ViTDet's implementation.

    Args:
        attention: mmpretrain's attention, whose layers and options are taken over under the same names.
        window_size: Side of the square windows in tokens; 0 is one window over the whole grid. A window is no longer
            than the grid, so a small image is not padded.
        table_sizes: Rows and columns of tokens that the tables of relative positions are made for; None is no
            relative positions. Tables start at zero: training starts from the pre-trained function.
    """

    def __init__(
        self,
        attention: MultiheadAttention,
        window_size: int = 0,
        table_sizes: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.window_size = window_size
        self.attn_drop = attention.attn_drop
        self.qkv = attention.qkv
        self.proj = attention.proj
        self.proj_drop = attention.proj_drop
        self.gamma1 = attention.gamma1
        self.out_drop = attention.out_drop
        self.rel_pos = table_sizes is not None
        if table_sizes is not None:
            rows, columns = table_sizes
            self.rel_pos_h = nn.Parameter(torch.zeros(2 * rows - 1, attention.head_dims))
            self.rel_pos_w = nn.Parameter(torch.zeros(2 * columns - 1, attention.head_dims))
            self._register_load_state_dict_pre_hook(self._fit_tables)

    def forward(self, x: Tensor) -> Tensor:
        """Map a grid ``(B, H, W, C)`` to a grid of the same shape."""
        grid = (x.shape[1], x.shape[2])
        window = (min(self.window_size or grid[0], grid[0]), min(self.window_size or grid[1], grid[1]))
        x = split_windows(x, window)
        # (B, rows, columns, C) -> 3 x (B, heads, rows * columns, C / heads)
        qkv = self.qkv(x).flatten(1, 2).unflatten(2, (3, self.num_heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind()
        bias = None
        if self.rel_pos:
            # One mask of scores, so that the fused kernels that take a mask remain in reach.
            bias = relative_position_bias(query, window, self.rel_pos_h, self.rel_pos_w)
            bias = bias.to(query.dtype)
        x = F.scaled_dot_product_attention(query, key, value, bias, dropout_p=self.attn_drop if self.training else 0.0)
        # Merged before the projection: padding is not projected, and drop path drops samples, not windows.
        x = merge_windows(x.transpose(1, 2).flatten(2).unflatten(1, window), grid)
        return self.out_drop(self.gamma1(self.proj_drop(self.proj(x))))

    def _fit_tables(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """Resample tables that a checkpoint holds for another window or image size."""
        for name in ('rel_pos_h', 'rel_pos_w'):
            if prefix + name in state_dict:
                own = len(getattr(self, name))
                state_dict[prefix + name] = resize_table(state_dict[prefix + name], own)


@MODELS.register_module()
class ViTDet(VisionTransformer):
    """``mmpretrain.VisionTransformer`` for detection.

    Attention within windows, but for a few global blocks; decomposed relative positions; any image size; activation
    checkpointing. Parameter names are the parent's, so a pre-trained ``backbone.`` loads through ``init_cfg``: a class
    token is left out, and position embedding, patch embedding (plain bicubic, as ViTDet-H from patch 14 to 16) and
    tables of relative positions are resized where theirs have another size. With one window over the whole image and
    ``rel_pos=False`` it is the parent's function.

    Args:
        window_size: Side of the windows in tokens; 0 or None is global attention everywhere.
        global_blocks: Blocks (from 0) with global attention; None is the last of each quarter of the blocks, the
            paper's choice: 2, 5, 8, 11 of ViT-B.
        rel_pos: Whether attention has relative positions. Their bias is a mask of ``(H * W) ** 2`` scores per head;
            without it, attention can take the kernels that need no such memory.
        with_cp: Whether to keep only the blocks' inputs for the backward pass, and compute the blocks twice.
        with_cls_token: False only: tokens stand on a grid.
        out_type: As the parent's; ``'featmap'``, ``(B, C, H, W)``, by default.
        pos_embed_size: Image size, an int or (height, width) in pixels of this network's patches, that the position
            embedding is made for; None is ``img_size``. With the size of pre-training it stays as the checkpoint has
            it, and is resized once, to the image at hand, as in ViTDet's implementation.
        **kwargs: As ``mmpretrain.VisionTransformer``. ``img_size``, the usual image size (an int or (height, width)),
            is the one that position embedding and tables are made for; for others they are resized in each forward
            (not cached: they are trained).

    Raises:
        UserError: An argument that the parent refuses, ``with_cls_token=True``, or blocks that do not exist.
    """

    # Names that no pre-training has, for checks of how much of the backbone a checkpoint fills.
    new_parameters = (r'layers\.\d+\.attn\.rel_pos_[hw]',)

    def __init__(
        self,
        window_size: int | None = 14,
        global_blocks: Sequence[int] | None = None,
        rel_pos: bool = True,
        with_cp: bool = False,
        with_cls_token: bool = False,
        out_type: str = 'featmap',
        pos_embed_size: int | tuple[int, int] | None = None,
        **kwargs: Any,
    ) -> None:
        if with_cls_token:
            raise UserError(
                'with_cls_token=True of ViTDet: windows have no place for a class token; leave it out, that of a '
                'checkpoint is skipped'
            )
        try:
            super().__init__(with_cls_token=False, out_type=out_type, **kwargs)
        except (AssertionError, TypeError, ValueError) as error:
            raise UserError(f'model.backbone cannot be built: {error}') from error
        self.position_grid = self._take_position_grid(pos_embed_size)
        self.with_cp = with_cp
        self.global_blocks = _global_blocks(global_blocks, self.num_layers)
        window_size = window_size or 0
        if window_size < 0:
            raise UserError(f'window_size={window_size} of ViTDet: give the side of a window in tokens, or 0')
        for index, layer in enumerate(self.layers):
            window = 0 if index in self.global_blocks else window_size
            sizes = (window, window) if window else tuple(self.patch_resolution)
            layer.attn = GridAttention(layer.attn, window, sizes if rel_pos else None)
        if self.frozen_stages > 0:
            self._freeze_stages()  # again, for the tables

    def _take_position_grid(self, size: int | tuple[int, int] | None) -> tuple[int, int]:
        if size is None:
            return tuple(self.patch_resolution)
        sides = (size, size) if isinstance(size, int) else tuple(size)
        patch = self.patch_embed.projection.stride
        grid = tuple(side // step for side, step in zip(sides, patch, strict=True))
        if min(grid) < 1 or any(side % step for side, step in zip(sides, patch, strict=True)):
            raise UserError(
                f'pos_embed_size={size} of ViTDet does not divide into patches of {patch[0]} x {patch[1]} pixels'
            )
        self.pos_embed = nn.Parameter(torch.zeros(1, grid[0] * grid[1], self.embed_dims))
        return grid

    def init_weights(self) -> None:
        """Initialize as the parent does, but keep a position embedding that ``init_cfg`` loads in whatever form."""
        # Not the parent's: it keeps the position embedding only where init_cfg is a dict, and not a list of them.
        super(VisionTransformer, self).init_weights()
        configs = self.init_cfg if isinstance(self.init_cfg, list) else [self.init_cfg or {}]
        if not any(config.get('type') in ('Pretrained', PretrainedInit) for config in configs):
            trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Encode images ``(B, C, H, W)`` of any size.

        Returns:
            What the parent returns: one tensor of ``out_type`` for each of ``out_indices``.
        """
        x, grid = self.patch_embed(x)
        positions = resize_pos_embed(self.pos_embed, self.position_grid, grid, self.interpolate_mode, 0)
        x = self.pre_norm(self.drop_after_pos(x + positions)).unflatten(1, grid)
        outputs = []
        for index, layer in enumerate(self.layers):
            # mmpretrain's block serves a grid (B, H, W, C) as well as tokens (B, L, C).
            if self.with_cp and self.training and torch.is_grad_enabled():
                x = checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
            if index == self.num_layers - 1 and self.final_norm:
                x = self.norm1(x)
            if index in self.out_indices:
                outputs.append(self._format_output(x.flatten(1, 2), grid))
        return tuple(outputs)

    def _prepare_pos_embed(self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any) -> None:
        """Fit a checkpoint's entries before loading (the parent registers this hook).

        The parent's cannot leave out a class token and resize at once. What has this network's sizes, such as a whole
        detector's checkpoint, stays as it is.
        """
        class_token = state_dict.pop(f'{prefix}cls_token', None) is not None
        name = f'{prefix}pos_embed'
        if name in state_dict:
            state_dict[name] = _fit_positions(
                state_dict[name], class_token, self.position_grid, tuple(self.patch_resolution), self.interpolate_mode
            )
        name = f'{prefix}patch_embed.projection.weight'
        if name in state_dict:
            state_dict[name] = _fit_kernel(state_dict[name], self.patch_embed.projection.kernel_size)


def _global_blocks(blocks: Sequence[int] | None, depth: int) -> tuple[int, ...]:
    if blocks is None:
        blocks = sorted({quarter * depth // 4 - 1 for quarter in (1, 2, 3, 4)} - {-1})
    if any(not 0 <= block < depth for block in blocks):
        raise UserError(f'global_blocks={tuple(blocks)} of ViTDet: blocks are counted from 0 to {depth - 1}')
    return tuple(blocks)


def _fit_positions(
    table: Tensor, class_token: bool, grid: tuple[int, int], image_grid: tuple[int, int], mode: str
) -> Tensor:
    """Position embedding ``(1, L, C)``, that of a class token first where there is one, for ``grid``.

    A table of as many patches as ``grid`` has is taken for one of that grid, any other for one of a square grid.

    Raises:
        UserError: The table is of no square grid, or is a detector's whose positions are those of ``image_grid``.
    """
    length, wanted = table.shape[1], grid[0] * grid[1]
    if not class_token and length != wanted:
        # The class token itself may have been left out of the weights before: no square number follows another.
        class_token = length == wanted + 1 or math.isqrt(length) ** 2 != length
    table = table[:, int(class_token) :]
    length = table.shape[1]
    if length == wanted:
        return table
    if length == image_grid[0] * image_grid[1]:
        raise UserError(
            f'the checkpoint has position embeddings of {length} patches, as many as img_size of the backbone has, and '
            f'pos_embed_size gives {grid[0]} x {grid[1]}: set model.backbone.pos_embed_size=None, as it was trained'
        )
    side = math.isqrt(length)
    if side**2 != length:
        raise UserError(
            f'the checkpoint has positions of {length} patches, which are no square grid, and the backbone {grid[0]} x '
            f"{grid[1]}; set img_size of the backbone to pre-training's"
        )
    print_log(f'position embedding resized from {side} x {side} to {grid[0]} x {grid[1]}', 'current')
    return resize_pos_embed(table, (side, side), grid, mode, 0)


def _fit_kernel(weight: Tensor, size: tuple[int, int]) -> Tensor:
    """Weights ``(out, in, height, width)`` of a patch embedding for patches of another size."""
    if tuple(weight.shape[2:]) == tuple(size):
        return weight
    print_log(f'patch embedding resized from {tuple(weight.shape[2:])} to {tuple(size)}', 'current')
    return F.interpolate(weight.float(), size=size, mode='bicubic').to(weight.dtype)
