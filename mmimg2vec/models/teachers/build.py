"""Teachers by their config: those of mmpretrain behind one adapter; dilated, with BatchNorm folded, looked at once."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any

import torch
from mmcv.cnn.utils import fuse_conv_bn
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmimg2vec.checkpoint.fill import fingerprint
from mmimg2vec.errors import UserError
from mmimg2vec.models.teachers.base import Features, Teacher, from_map, from_tokens
from mmimg2vec.models.teachers.clip_tower import CLIPVisionTower
from mmimg2vec.registry import MODELS

# The stem of a ResNet strides by so much; `describe` of the target generator notices where one does not.
_STEM_STRIDE = 4
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


class BackboneTeacher(Teacher):
    """A backbone of mmpretrain's kind as teacher: the last of its outputs.

    Args:
        network: Gives a map ``(B, C, h, w)`` or tokens ``(B, N, C)``, alone or as the last of several.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.name = type(network).__name__
        self.map_dilation = 1
        self.num_extra_tokens = getattr(network, 'num_extra_tokens', 0)
        projection = getattr(getattr(network, 'patch_embed', None), 'projection', None)
        if isinstance(projection, nn.Conv2d):
            down, across = projection.stride
            self.token_stride = (down, across)
        if getattr(network, 'out_type', None) is not None:
            network.out_type = 'raw'  # all tokens, whatever the backbone gives by default

    def forward(self, images: Tensor) -> Features:
        """Features of ``(B, 3, H, W)`` images.

        Raises:
            UserError: The last output is neither a map nor tokens on a grid.
        """
        output = self.network(images)
        output = output[-1] if isinstance(output, tuple | list) else output
        if output.ndim == 4:
            return from_map(output, self.map_dilation)
        if output.ndim != 3 or self.token_stride is None:
            raise UserError(
                f'the teacher {self.name} gives {output.ndim}-dimensional features; its last output has to be a map '
                '(B, C, H, W) or tokens (B, N, C): switch its pooling off (gap_before_final_norm=False of ConvNeXt)'
            )
        height, width = images.shape[-2:]
        return from_tokens(output, self.num_extra_tokens, self.token_stride, (height, width), name=self.name)

    def convert_weights(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a file under the names of the network; see :meth:`CLIPVisionTower.convert_weights`."""
        return self.network.convert_weights(weights) if isinstance(self.network, CLIPVisionTower) else weights

    def draw_weights(self) -> None:
        """Draw them as mmengine initializes the network."""
        if isinstance(self.network, BaseModule):
            self.network.init_weights()

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network alone, in place."""
        self.network.compile(*args, **kwargs)

    def stages(self) -> dict[str, nn.Module]:
        """Stages of a ResNet by name, else those that :class:`Teacher` finds."""
        names = getattr(self.network, 'res_layers', ())
        return {name: self.network.get_submodule(name) for name in names} or super().stages()

    def dilate(self, output_stride: int) -> None:
        """Dilate a ResNet's last stages, in place, until its map has this stride.

        Raises:
            UserError: The network is no ResNet, or cannot be dilated to this stride.
        """
        stages = [self.network.get_submodule(name) for name in getattr(self.network, 'res_layers', ())]
        if not stages:
            super().dilate(output_stride)
        excess = dilation = _STEM_STRIDE * math.prod(stage_stride(stage) for stage in stages) / output_stride
        first = len(stages)
        while excess > 1 and first > 0:
            first -= 1
            excess /= stage_stride(stages[first])
        if excess != 1:
            raise UserError(
                f'output_stride={output_stride} cannot be reached by dilating the stages of {self.name}; '
                'choose 4, 8, 16 or 32'
            )
        try:
            dilate_stages(stages[first:])
        except ValueError as error:
            raise UserError(
                f'output_stride={output_stride}: the teacher cannot be dilated ({error}); use '
                'target_generator.input_size instead'
            ) from error
        self.map_dilation = int(dilation)  # for the pooled feature, which is that of the network without dilation

    def fingerprint(self) -> str:
        """SHA-256 (hex) of the network's weights under its own names, as checkpoints of earlier versions have it."""
        return fingerprint(self.network)


def build_teacher(cfg: dict[str, Any], seed: int | None = None, output_stride: int | None = None) -> Teacher:
    """Build a teacher in eval mode; its weights are random, and a function of the seed alone.

    Args:
        cfg: Config of a :class:`Teacher` or of a backbone, without ``init_cfg``.
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
            network = MODELS.build(dict(cfg))
        except ImportError as error:
            raise UserError(
                f'the teacher {cfg.get("type")!r} needs a package that is missing ({error}); install it with pip'
            ) from error
        except (KeyError, TypeError, AssertionError, ValueError) as error:
            raise UserError(
                f'the teacher {cfg.get("type")!r} cannot be built: {error}; check target_generator.teacher'
            ) from error
        teacher = network if isinstance(network, Teacher) else BackboneTeacher(network)
        if seed is not None:
            teacher.draw_weights()
            _open_branches(teacher)
    if output_stride is not None:
        teacher.dilate(output_stride)
    teacher.eval()  # on a line of its own: mmpretrain's backbones return None from it
    return teacher


def _open_branches(teacher: Teacher) -> None:
    """Set norms whose weights are all zero to one.

    mmpretrain's and timm's ResNets start the last norm of each residual branch at zero, so that training begins with
    the shortcuts. A teacher that stays random would have no branches: another network than its name says.
    """
    for module in teacher.modules():
        weight = getattr(module, 'weight', None)
        if isinstance(module, _NORMS) and weight is not None and not weight.is_meta and not weight.any():
            nn.init.ones_(weight)


@torch.no_grad()
def fold_batchnorm(teacher: Teacher, image: Tensor) -> Teacher:
    """Fold BatchNorm into the convolutions before it, where that leaves the features of an image as they are.

    Pre-activation networks, whose BatchNorm stands before the convolution, come back unchanged.
    """
    folded = fuse_conv_bn(copy.deepcopy(teacher))
    before, after = teacher(image).tokens, folded(image).tokens
    if (before - after).norm() <= 1e-3 * before.norm():
        return folded
    print_log(f'BatchNorm of {teacher.name} is not folded', logger='current')
    return teacher


@torch.no_grad()
def check_features(teacher: Teacher, image: Tensor) -> None:
    """Check that the features of an image are finite.

    Raises:
        UserError: They are not.
    """
    if not teacher(image).tokens.isfinite().all():
        cure = '' if image.dtype == torch.float32 else ", or set target_generator.dtype='float32'"
        raise UserError(
            f'the teacher {teacher.name} gives features that are not finite in {image.dtype}; check its weights{cure}'
        )


def stage_stride(stage: nn.Module) -> int:
    """Stride of a stage: the largest of its convolutions (a ResNet's stage strides once)."""
    return max((max(m.stride) for m in stage.modules() if isinstance(m, nn.Conv2d)), default=1)


def dilate_stages(stages: Iterable[nn.Sequential]) -> None:
    """Take the strides out of consecutive stages, in place, so that their maps become denser and old values stay.

    The first strided 3x3 convolution of a stage keeps the dilation it had and only loses its stride; what comes
    after it is dilated. The dense map then holds, at every ``stride``-th row and column, exactly what the strided
    network computes, and fills in the positions between. (mmpretrain's ``ResNet(dilations=...)`` dilates that first
    convolution as well, so that its features differ everywhere.)

    Args:
        stages: The last stages of a ResNet-like network, in order; each is iterated block by block, and a block's
            convolutions are met in the order of their registration.

    Raises:
        ValueError: A stage strides by pooling or has even kernels, where no exact dilation exists.
    """
    rate = 1
    for stage in stages:
        for block in stage:
            block_rate = rate
            for module in block.modules():
                if isinstance(module, nn.AvgPool2d | nn.MaxPool2d):
                    raise ValueError(f'{type(module).__name__} inside a stage cannot be dilated')
                if not isinstance(module, nn.Conv2d):
                    continue
                stride = max(module.stride)
                if stride > 1:
                    module.stride = (1, 1)
                    _set_dilation(module, rate)
                    block_rate = rate * stride
                else:
                    _set_dilation(module, block_rate)
            rate = block_rate


def _set_dilation(conv: nn.Conv2d, rate: int) -> None:
    if any(size % 2 == 0 for size in conv.kernel_size):
        raise ValueError(f'a convolution with kernel {conv.kernel_size} cannot be dilated')
    conv.dilation = tuple(rate if size > 1 else 1 for size in conv.kernel_size)
    conv.padding = tuple(rate * (size - 1) // 2 for size in conv.kernel_size)
