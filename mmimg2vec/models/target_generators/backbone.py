"""Any image backbone as teacher: of mmpretrain, timm or transformers, or of an earlier run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor

from mmimg2vec.checkpoint.fill import fill
from mmimg2vec.errors import UserError
from mmimg2vec.models.target_generators.base import NORMALIZATIONS, TargetGenerator, TargetLayout, freeze, normalize
from mmimg2vec.models.teachers.base import NoStages, Teacher, TeacherSpec, inspect_teacher
from mmimg2vec.models.teachers.build import build_teacher, check_features, fold_batchnorm
from mmimg2vec.models.teachers.from_checkpoint import named_teacher
from mmimg2vec.models.utils import map_to_tokens
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class BackboneTargetGenerator(TargetGenerator):
    """Tokens and pooled feature of a frozen backbone: Img2Vec's teacher (arXiv 2304.12535).

    ::

        images -> RGB channels -> teacher's mean/std -> [input_size] -> teacher -> map (B, C, h, w) or tokens
               -> [resample] -> [smooth] -> tokens (B, L, C) -> normalization -> {'tokens', 'pooled'}

    The last of the backbone's outputs is the target; an earlier stage is asked for with the backbone's own options
    (``num_stages=3, out_indices=(2,)`` of a ResNet). Three ways bring its map onto the student's grid:
    ``output_stride`` (a ResNet's last stages dilated, exactly), ``input_size`` (the teacher sees the image at another
    size) and ``resample``. The pooled feature is the class token where the teacher has one, else the mean of the map,
    of a dilated one at the positions that it has without dilation: exactly the undilated teacher's. What was worked
    out, normalization included, stands in the log when the model is built.

    Args:
        teacher: Config of the backbone, with its scope: ``type='mmpretrain.ResNet'`` or another of mmpretrain,
            ``'mmimg2vec.TimmTeacher'``, ``'mmimg2vec.TransformersTeacher'``. Its weights come from
            ``init_cfg=dict(type='Pretrained', checkpoint=..., prefix=..., sha256=...)``; the prefix is found when left
            out, the SHA-256 (its first eight digits or more) verified when given. Or a text: the path of the
            ``backbone.pth`` of an earlier run, whose config then says what the backbone is, or the name of weights that
            come in a Python package, such as ``'efficientnet_lite0'``, or ``'efficientnet_lite0#3'`` for a stage.
        output_stride: Stride that the teacher's map shall have; its last stages are dilated to reach it.
        input_size: Side, or (height, width), to which the teacher's copy of the images is resized (bicubic). None: a
            vision transformer gets the size at which its patches are the student's, other networks the student's
            size; a network that takes its own size only gets that.
        resample: How a map of another grid is brought onto the student's: ``'bilinear'`` (upsampling), ``'area'``
            (averages) or None, where such a teacher is an error.
        smooth: Mean over so many x so many neighboring tokens of the student's grid, an odd number; 1 leaves them as
            they are. It lowers token diversity and nothing else: for experiments (the project's choice).
        normalization: Of the targets: ``'none'``, ``'layer'``, ``'batch'``, ``'whiten'`` or ``'spatial'``; see
            :func:`~mmimg2vec.models.target_generators.base.normalize`. The pooled feature is whitened per channel
            only, as a batch holds too few images for more; for ``'spatial'`` it has no places, and gets ``'layer'``.
            Default: the project's choice.
        mean: The teacher's own mean of RGB, in gray levels 0 to 255. None: what the network says, else ImageNet's.
        std: The teacher's own standard deviation, likewise.
        rgb_channels: Which of the student's channels are red, green and blue. None: the three there are, or a
            single one three times, or the first three of more (after the preprocessor's ``to_rgb``).
        random_weights: Seed of a teacher with random weights; None (default) wants a checkpoint. A text as teacher then
            names the network alone. Residual branches all count: norms that a library starts at zero
            (``zero_init_residual``, ``zero_init_last``) start at one.
        dtype: Type that the teacher runs in: ``'float32'``, ``'bfloat16'`` or ``'float16'``.
        fold_batchnorm: Fold BatchNorm into the convolutions before it (kept only where the features agree).
        compile: Compile the teacher (torch.compile), in place.

    Raises:
        UserError: An option that does not exist, a teacher without weights, a checkpoint that does not fill it, or
            a grid that cannot be matched.
    """

    has_teacher = True
    # Known once the generator is connected and described.
    patch_size: tuple[int, int]
    img_size: tuple[int, int]
    spec: TeacherSpec
    channel_index: Tensor

    def __init__(
        self,
        teacher: dict[str, Any] | str,
        output_stride: int | None = None,
        input_size: int | tuple[int, int] | None = None,
        resample: str | None = None,
        smooth: int = 1,
        normalization: str = 'layer',
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        rgb_channels: Sequence[int] | None = None,
        random_weights: int | None = None,
        dtype: str = 'float32',
        fold_batchnorm: bool = True,
        compile: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(teacher, str):
            found = named_teacher(teacher)
            self.teacher_cfg = dict(found['teacher'])
            if random_weights is not None:
                del self.teacher_cfg['init_cfg']
            mean, std = (found.get('mean'), found.get('std')) if mean is None else (mean, std)
        else:
            self.teacher_cfg = dict(teacher)
        if (mean is None) != (std is None):
            raise UserError('target_generator: give mean and std of the teacher together, or neither')
        self.weights_cfg = self.teacher_cfg.pop('init_cfg', None)
        if (self.weights_cfg is None) == (random_weights is None):
            raise UserError(
                "the teacher needs either weights, teacher.init_cfg=dict(type='Pretrained', checkpoint=...), "
                'or random_weights=SEED'
            )
        if self.weights_cfg is not None and not dict(self.weights_cfg).get('checkpoint'):
            raise UserError("the teacher's init_cfg names no file: init_cfg=dict(type='Pretrained', checkpoint=...)")
        _choose('normalization', normalization, NORMALIZATIONS)
        _choose('resample', resample, (None, 'bilinear', 'area'))
        _choose('dtype', dtype, ('float32', 'bfloat16', 'float16'))
        if smooth < 1 or smooth % 2 == 0:
            raise UserError(f'target_generator.smooth={smooth}: give an odd number of tokens')
        self.smooth = smooth
        self.output_stride = output_stride
        self.input_size = (input_size, input_size) if isinstance(input_size, int) else input_size
        self.resample = resample
        self.normalization = normalization
        self.rgb_channels = None if rgb_channels is None else tuple(rgb_channels)
        self.random_weights = random_weights
        self.dtype = getattr(torch, dtype)
        self.fold_batchnorm = fold_batchnorm
        self.compile_teacher = compile
        self.mean_and_std = None if mean is None or std is None else (tuple(mean), tuple(std))
        self.teacher: Teacher | None = None
        self._fingerprint = ''

    def connect(self, patch_size: tuple[int, int], in_channels: int, mean: Tensor | None, std: Tensor | None) -> None:
        """Take note of the student's patches and normalization; see the base class.

        Raises:
            UserError: No rule makes RGB of the student's channels.
        """
        self.patch_size = patch_size
        channels = self.rgb_channels or {1: (0, 0, 0), 2: None}.get(in_channels, (0, 1, 2))
        if channels is None or len(channels) != 3 or max(channels) >= in_channels:
            raise UserError(
                f'the teacher reads RGB and the student {in_channels} channels (rgb_channels={self.rgb_channels}); '
                'say which of them are red, green and blue with target_generator.rgb_channels'
            )
        self.channels = channels
        self.all_channels = channels == tuple(range(in_channels))
        self.student_mean = torch.zeros(in_channels) if mean is None else mean.flatten()
        self.student_std = torch.ones(in_channels) if std is None else std.flatten()

    def describe(self, img_size: tuple[int, int]) -> TargetLayout:
        """Grid, widths, image size and normalization, worked out without weights; see the base class.

        Raises:
            UserError: The teacher has another grid than the student, or does not reach ``output_stride``.
        """
        self.img_size = (img_size[0], img_size[1])
        wanted = self._student_grid(*img_size)
        try:
            spec = self._inspect(self.img_size, wanted)
        except NoStages:
            # What a config for a ResNet left over; whether the grids fit is asked below all the same.
            print_log(f'the teacher has no stages to dilate: output_stride={self.output_stride} is left out', 'current')
            self.output_stride = None
            spec = self._inspect(self.img_size, wanted)
        if self.mean_and_std is not None:
            mean, std = self.mean_and_std
            spec = replace(spec, mean=mean, std=std, known_from='the config')
        self.spec, size, grid = spec, spec.size, spec.grid
        if self.output_stride and grid != tuple(math.ceil(n / self.output_stride) for n in size):
            raise UserError(
                f'target_generator.output_stride={self.output_stride} cannot be reached: dilated, the teacher gives '
                f'{grid[0]} x {grid[1]} tokens for images of {size[0]} x {size[1]} pixels; set '
                'target_generator.input_size or resample instead'
            )
        if grid != wanted and self.resample is None:
            raise UserError(
                f'the teacher gives {grid[0]} x {grid[1]} tokens for images of {size[0]} x {size[1]} pixels and the '
                f'student has {wanted[0]} x {wanted[1]}; set target_generator.output_stride (ResNet), '
                "target_generator.input_size, or target_generator.resample='bilinear'"
            )
        self._set_normalization(spec.mean, spec.std)
        print_log(f'Teacher {spec}', logger='current')
        return TargetLayout(wanted, spec.channels, spec.pooled_channels)

    def _inspect(self, img_size: tuple[int, int], wanted: tuple[int, int]) -> TeacherSpec:
        # A grid that will be resampled, or dilated, is not reached by another size of the images.
        adapts = self.resample is None and self.output_stride is None
        return inspect_teacher(
            self._build,
            self.input_size or img_size,
            wanted if adapts else None,
            fixed=self.input_size is not None,
        )

    def load(self) -> None:
        """Build and fill the teacher, check it on one image, fold, freeze; a second call does nothing.

        Raises:
            UserError: The checkpoint does not fill the teacher, or its features are not finite.
        """
        self._loaded()

    def _loaded(self) -> Teacher:
        if self.teacher is not None:
            return self.teacher
        teacher = self._build()
        if self.weights_cfg is not None:
            fill(
                teacher.network,
                self.weights_cfg['checkpoint'],
                prefix=self.weights_cfg.get('prefix'),
                sha256=self.weights_cfg.get('sha256'),
                convert=teacher.convert_weights,
            )
        self._fingerprint = teacher.fingerprint()
        if self.fold_batchnorm:
            teacher = fold_batchnorm(teacher, self._test_image())
        freeze(teacher)
        # torch's own types do not know this argument.
        teacher.to(self._marker.device, self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        check_features(teacher, self._test_image(self._marker.device).to(self.dtype))
        if self.compile_teacher:
            teacher.compile()
        self.teacher = teacher
        return teacher

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the teacher's weights as they were filled (loads them)."""
        self.load()
        return self._fingerprint

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Targets of a batch; see the base class."""
        teacher = self._loaded()
        # Autocast of the student would choose the teacher's types too.
        with torch.autocast(images.device.type, enabled=False):
            tokens, grid, pooled = teacher(self._teacher_images(images))
            wanted = self._student_grid(*images.shape[-2:])
            if grid != wanted:
                tokens = self._resample(tokens, grid, wanted)
            if self.smooth > 1:
                tokens = self._average(tokens, wanted)
            pooled_kind = {'whiten': 'batch', 'spatial': 'layer'}.get(self.normalization, self.normalization)
            return {
                'tokens': normalize(tokens, self.normalization),
                'pooled': normalize(pooled, pooled_kind),
            }

    def _build(self) -> Teacher:
        return build_teacher(self.teacher_cfg, self.random_weights, self.output_stride)

    def _test_image(self, device: torch.device | str = 'cpu') -> Tensor:
        """One noisy image of the teacher's input size, always the same."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(1, 3, *self.spec.size, generator=generator).to(device)

    def _set_normalization(self, mean: Sequence[float], std: Sequence[float]) -> None:
        index, device = torch.tensor(self.channels), self._marker.device
        own_mean, own_std = torch.tensor(mean), torch.tensor(std)
        # x * std_s + mean_s are gray levels; minus mean_t, over std_t is what the teacher was trained on.
        scale = self.student_std.to(index.device)[index] / own_std
        shift = (self.student_mean.to(index.device)[index] - own_mean) / own_std
        self.register_buffer('scale', scale.view(1, 3, 1, 1).to(device), persistent=False)
        self.register_buffer('shift', shift.view(1, 3, 1, 1).to(device), persistent=False)
        self.register_buffer('channel_index', index.to(device), persistent=False)

    def _teacher_images(self, images: Tensor) -> Tensor:
        given = tuple(images.shape[-2:])
        images = images.float() if self.all_channels else images[:, self.channel_index].float()
        images = images * self.scale + self.shift
        size = self.spec.size
        if given != size and (self.input_size is not None or size != self.img_size):
            images = F.interpolate(images, size, mode='bicubic', align_corners=False)
        return images.to(self.dtype, memory_format=torch.channels_last)

    def _student_grid(self, height: int, width: int) -> tuple[int, int]:
        return height // self.patch_size[0], width // self.patch_size[1]

    def _resample(self, tokens: Tensor, grid: tuple[int, int], wanted: tuple[int, int]) -> Tensor:
        align = None if self.resample == 'area' else False
        return map_to_tokens(F.interpolate(_to_map(tokens, grid), wanted, mode=str(self.resample), align_corners=align))

    def _average(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        # At the border over the neighbors that there are.
        pixels, reach = _to_map(tokens, grid), self.smooth // 2
        return map_to_tokens(F.avg_pool2d(pixels, self.smooth, stride=1, padding=reach, count_include_pad=False))


def _to_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """``(B, L, C)`` -> ``(B, C, h, w)`` in float32."""
    return tokens.transpose(1, 2).unflatten(2, grid).float()


def _choose(name: str, value: object, choices: tuple) -> None:
    if value not in choices:
        raise UserError(f'target_generator.{name}={value!r}: choose one of {", ".join(map(repr, choices))}')
