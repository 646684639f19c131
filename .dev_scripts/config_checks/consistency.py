"""Whether the parts of a config fit at full size, worked out on the meta device: no memory, no weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from torch import nn

from config_checks.names import MASKS
from config_checks.nodes import get, walk
from mmimg2vec.errors import UserError
from mmimg2vec.models import CAEv2, MaskedImageModel
from mmimg2vec.models.utils import TokenMask
from mmimg2vec.registry import TRANSFORMS


def check_consistency(cfg: ConfigDict, decay: bool = True) -> list[str]:
    """Build the model of a config on the meta device and compare keys and shapes; optionally the weight decay too."""
    try:
        model = build_without_memory(cfg)
    except UserError as error:
        return [f'the model cannot be built: {error}']
    problems = check_decay(cfg, model) if decay else []
    if isinstance(model, MaskedImageModel):
        problems += check_backbone_keys(cfg, model)
        problems += check_shapes(cfg, model)
    return problems


def build_without_memory(cfg: ConfigDict) -> nn.Module:
    """Build the model of a config on the meta device, or on the CPU where one of its parts cannot be.

    Raises:
        UserError: A part of the model refuses the config.
    """
    try:
        with torch.device('meta'):
            return MODELS.build(copy.deepcopy(cfg.model))
    except UserError:
        raise
    except (NotImplementedError, RuntimeError):
        # ResNet reads its drop-path rates while it is built, which the meta device cannot.
        return MODELS.build(copy.deepcopy(cfg.model))


def check_backbone_keys(cfg: ConfigDict, model: MaskedImageModel) -> list[str]:
    """Whether the backbone's tensors are those of ``mmpretrain.VisionTransformer`` with the same arguments."""
    kwargs = {**cfg.model.backbone, 'type': 'mmpretrain.VisionTransformer'}
    for ours in ('pos_embed', 'key_bias', 'init_cfg'):
        kwargs.pop(ours, None)
    with torch.device('meta'):
        plain = MODELS.build(kwargs)
    wanted = {f'backbone.{key}': tuple(value.shape) for key, value in plain.state_dict().items()}
    state = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: shape for key, shape in state.items() if key.startswith('backbone.')}
    problems = [
        f'{key} is {found.get(key)} in the model and {wanted.get(key)} in mmpretrain.VisionTransformer'
        for key in sorted(set(wanted) | set(found))
        if wanted.get(key) != found.get(key)
    ]
    foreign = [key for key in state if key.startswith(('target_generator.', 'data_preprocessor.'))]
    if foreign:
        problems.append(f'the checkpoint would hold {foreign[0]}')
    return problems


def check_shapes(cfg: ConfigDict, model: MaskedImageModel, batch: int = 2) -> list[str]:
    """Whether masks, student and target fit: a forward pass of everything trained, without computing."""
    height, width = model.backbone.img_size
    rows, columns = model.backbone.grid
    layout = model.target_layout
    problems = _check_pipeline(cfg, (height, width))
    length = rows * columns
    try:
        tokens, masked = count_tokens(cfg, (height, width))
    except UserError as error:
        return [*problems, str(error)]
    if tokens != length:
        return [*problems, f'the masks have {tokens} tokens, the backbone {length} patches']
    channels = model.backbone.patch_embed.projection.in_channels
    with torch.device('meta'), torch.no_grad():
        images = torch.zeros(batch, channels, height, width)
        rank = torch.zeros(batch, length, dtype=torch.long)
        mask = TokenMask(torch.zeros(batch, length, dtype=torch.bool), masked, rank)
        target = {
            'tokens': torch.zeros(batch, layout.grid[0] * layout.grid[1], layout.channels),
            'pooled': torch.zeros(batch, layout.pooled_channels),
        }
        latents = model.encode(images, mask)
        positions = model.head.positions(mask)
        try:
            prediction, losses = model.compare(latents, target, mask)
        except RuntimeError as error:
            return [*problems, f'the parts do not fit one another: {error}']
    if tuple(latents.shape) != (batch, 1 + length - masked, model.backbone.embed_dims):
        problems.append(f'the latents are {tuple(latents.shape)}')
    wanted = (batch, positions.shape[1], layout.channels)
    if tuple(prediction.shape) != wanted:
        problems.append(f'the prediction is {tuple(prediction.shape)}, its target {wanted}')
    if layout.grid != (rows, columns):
        problems.append(f'the target grid is {layout.grid}, that of the student {(rows, columns)}')
    shapes = {name: tuple(value.shape) for name, value in losses.items()}
    if any(shapes.values()):
        problems.append(f'terms of the loss are no single numbers: {shapes}')
    return problems


def count_tokens(cfg: ConfigDict, size: tuple[int, int]) -> tuple[int, int]:
    """Numbers of patches and of masked patches that the training pipeline gives for images of ``size`` pixels.

    Raises:
        UserError: The pipeline makes no mask, or none for such images.
    """
    masks = [node for _, node in walk(cfg.train_dataloader) if node.get('type') in MASKS]
    if len(masks) != 1:
        raise UserError(f'the training pipeline has {len(masks)} of {", ".join(MASKS)}; it has to have one')
    return TRANSFORMS.build(masks[0]).count(*size)


def _check_pipeline(cfg: ConfigDict, size: tuple[int, int]) -> list[str]:
    problems = []
    for path, node in walk(cfg.train_dataloader, 'train_dataloader'):
        if node.get('type') in ('mmpretrain.RandomResizedCrop', 'mmimg2vec.LoadRandomResizedCrop'):
            scale = node['scale']
            # (height, width)
            crop = (scale, scale) if isinstance(scale, int) else tuple(scale)
            if crop != tuple(size):
                problems.append(f'{path}.scale gives {crop} pixels, the backbone takes {size}')
    return problems


def check_decay(cfg: ConfigDict, model: nn.Module) -> list[str]:
    """Whether weight decay reaches matrices, convolutions, a fusion's shares and CAE v2's tokens, and nothing else."""
    decay = get(cfg, 'optim_wrapper.optimizer.weight_decay', 0.0)
    if not decay:
        return []
    wrapper = build_optim_wrapper(model, copy.deepcopy(cfg.optim_wrapper))
    used: dict[int, Any] = {
        id(parameter): group['weight_decay']
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    }
    problems = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        # Tokens and position tables are (1, N, C); CAE v2 decays its tokens.
        token = parameter.ndim == 3 and not (isinstance(model, CAEv2) and name.endswith('_token'))
        exempt = parameter.ndim <= 1 or token
        if used.get(id(parameter)) != (0.0 if exempt else decay):
            problems.append(f'{name} has the weight decay {used.get(id(parameter))}')
    return problems
