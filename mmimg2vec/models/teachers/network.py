"""Pure functions on a teacher network: build it, dilate it, fold its BatchNorm, read its features."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from mmcv.cnn.utils import fuse_conv_bn
from mmengine.logging import print_log
from torch import Tensor, nn

from mmimg2vec.errors import UserError
from mmimg2vec.models.layers.atrous import dilate_stages, stage_stride
from mmimg2vec.models.teachers.features import Features, from_map, from_tokens
from mmimg2vec.registry import MODELS

# The stem of a ResNet strides by so much; `describe` of the target generator notices where one does not.
_STEM_STRIDE = 4
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


def build_teacher(cfg: dict[str, Any], seed: int | None = None, output_stride: int | None = None) -> nn.Module:
    """Build a backbone in eval mode; its weights are random, and a function of the seed alone.

    Args:
        cfg: Config of the backbone, without ``init_cfg``.
        seed: Seed of weights that are meant to stay random, all residual branches included; None where a checkpoint
            follows.
        output_stride: Stride that its last stages are dilated to reach.

    Raises:
        UserError: The backbone cannot be built, or not be dilated.
    """
    # A generator of its own: the same teacher on every rank, and nothing of the student's depends on it.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed or 0)
        try:
            teacher = MODELS.build(dict(cfg))
        except ImportError as error:
            raise UserError(
                f'the teacher {cfg.get("type")!r} needs a package that is missing ({error}); install it with pip'
            ) from error
        except (KeyError, TypeError, AssertionError, ValueError) as error:
            raise UserError(
                f'the teacher {cfg.get("type")!r} cannot be built: {error}; check target_generator.teacher'
            ) from error
        if seed is not None:
            if hasattr(teacher, 'init_weights'):
                teacher.init_weights()
            _open_branches(teacher)
    if hasattr(teacher, 'out_type'):
        teacher.out_type = 'raw'  # all tokens, whatever the backbone gives by default
    if output_stride is not None:
        _dilate(teacher, output_stride)
    teacher.eval()  # on a line of its own: mmpretrain's backbones return None from it
    return teacher


def _open_branches(teacher: nn.Module) -> None:
    """Set norms whose weights are all zero to one.

    mmpretrain's and timm's ResNets start the last norm of each residual branch at zero, so that training begins with
    the shortcuts. A teacher that stays random would have no branches: another network than its name says.
    """
    for module in teacher.modules():
        weight = getattr(module, 'weight', None)
        if isinstance(module, _NORMS) and weight is not None and not weight.is_meta and not weight.any():
            nn.init.ones_(weight)


def read_features(teacher: nn.Module, images: Tensor) -> Features:
    """Run a teacher and bring its last output into one form.

    Args:
        teacher: Gives :class:`Features`, a map ``(B, C, h, w)`` or tokens ``(B, N, C)``, the latter two alone or as the
            last of several.
        images: ``(B, 3, H, W)``, normalized as the teacher wants them.

    Raises:
        UserError: The output has another form.
    """
    output = teacher(images)
    if isinstance(output, Features):
        return output
    output = output[-1] if isinstance(output, tuple | list) else output
    if output.ndim == 4:
        return from_map(output, getattr(teacher, 'map_dilation', 1))
    stride = token_stride(teacher)
    if output.ndim != 3 or stride is None:
        raise UserError(
            f'the teacher {type(teacher).__name__} gives {output.ndim}-dimensional features; its last output has to '
            'be a map (B, C, H, W) or tokens (B, N, C): switch its pooling off (gap_before_final_norm=False of '
            'ConvNeXt)'
        )
    extra = getattr(teacher, 'num_extra_tokens', 0)
    return from_tokens(output, extra, stride, images.shape[-2:], name=type(teacher).__name__)


def token_stride(teacher: nn.Module) -> tuple[int, int] | None:
    """Pixels between two tokens (down, across) of a plain vision transformer, None where there is no telling."""
    if hasattr(teacher, 'token_stride'):
        return teacher.token_stride
    projection = getattr(getattr(teacher, 'patch_embed', None), 'projection', None)
    return tuple(projection.stride) if hasattr(projection, 'stride') else None


@torch.no_grad()
def fold_batchnorm(teacher: nn.Module, image: Tensor) -> nn.Module:
    """Fold BatchNorm into the convolutions before it, where that leaves the features of an image as they are.

    Pre-activation networks, whose BatchNorm stands before the convolution, come back unchanged.
    """
    folded = fuse_conv_bn(copy.deepcopy(teacher))
    before, after = (read_features(module, image)[0] for module in (teacher, folded))
    if (before - after).norm() <= 1e-3 * before.norm():
        return folded
    print_log(f'BatchNorm of {type(teacher).__name__} is not folded', logger='current')
    return teacher


@torch.no_grad()
def check_features(teacher: nn.Module, image: Tensor) -> None:
    """Check that the features of an image are finite.

    Raises:
        UserError: They are not.
    """
    if not read_features(teacher, image)[0].isfinite().all():
        cure = '' if image.dtype == torch.float32 else ", or set target_generator.dtype='float32'"
        raise UserError(
            f'the teacher {type(teacher).__name__} gives features that are not finite in {image.dtype}; check its '
            f'weights{cure}'
        )


def _dilate(teacher: nn.Module, output_stride: int) -> None:
    names = getattr(teacher, 'res_layers', None)
    if names is None:
        raise UserError(
            f'output_stride={output_stride}: only ResNet-like teachers can be dilated, not {type(teacher).__name__}; '
            'use target_generator.input_size or resample instead'
        )
    stages = [getattr(teacher, name) for name in names]
    excess = dilation = _STEM_STRIDE * math.prod(stage_stride(stage) for stage in stages) / output_stride
    first = len(stages)
    while excess > 1 and first > 0:
        first -= 1
        excess /= stage_stride(stages[first])
    if excess != 1:
        raise UserError(
            f'output_stride={output_stride} cannot be reached by dilating the stages of {type(teacher).__name__}; '
            'choose 4, 8, 16 or 32'
        )
    try:
        dilate_stages(stages[first:])
    except ValueError as error:
        raise UserError(
            f'output_stride={output_stride}: the teacher cannot be dilated ({error}); use '
            'target_generator.input_size instead'
        ) from error
    teacher.map_dilation = int(dilation)  # for the pooled feature, which is that of the network without dilation
