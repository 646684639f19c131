"""Any network of timm as teacher."""

from __future__ import annotations

import difflib
import re
import sys
from typing import Any

from torch import Tensor, nn

from mmimg2vec.environment import require
from mmimg2vec.errors import UserError
from mmimg2vec.models.teachers.base import Features, Teacher, from_map, from_tokens
from mmimg2vec.registry import MODELS


@MODELS.register_module()
class TimmTeacher(Teacher):
    """A network of timm as ``teacher`` of a target generator: its ``forward_features`` as tokens on a grid.

    Class and register tokens, stride, normalization and input size come from the network and from what timm knows of
    the release that the name stands for. The weights come from ``init_cfg`` of the teacher, through the project's
    loader and timm's own conversion of released layouts (DINOv2 and others); nothing is downloaded by timm.

    Args:
        model_name: timm's name, such as ``'vit_small_patch16_224.dino'``; what follows the dot is the release, of which
            only the normalization and the input size are taken.
        out_index: Number of the stage, or of a transformer's block, whose map is taken, as timm counts them
            (``features_only``); negative ones count from the last. None: what the network itself ends with.
        **kwargs: Further arguments of ``timm.create_model``.

    Raises:
        UserError: timm is missing, or has no such network, or that no such stage.

    Attributes:
        model_name: As given.
    """

    def __init__(self, model_name: str, out_index: int | None = None, **kwargs: Any) -> None:
        super().__init__()
        timm = require('timm', f'The teacher mmimg2vec.TimmTeacher({model_name!r})')
        name, _, release = model_name.partition('.')
        releases = timm.list_pretrained(f'{name}.*') if timm.is_model(name) else []
        if not timm.is_model(name) or (release and model_name not in releases):
            near = releases or difflib.get_close_matches(name, timm.list_models(), n=3)
            hint = f'; near: {", ".join(near[:5])}' if near else ''
            raise UserError(f'timm {timm.__version__} has no model {model_name!r}{hint}')
        kwargs = {'num_classes': 0, **kwargs, 'pretrained': False}
        try:
            # Position embeddings are then resized to the image at hand.
            self.network = timm.create_model(model_name, dynamic_img_size=True, **kwargs)
        except TypeError:
            self.network = timm.create_model(model_name, **kwargs)
        trained = self.network.pretrained_cfg
        self.model_name = model_name
        self.name = f'TimmTeacher {model_name}'
        self.num_extra_tokens = getattr(self.network, 'num_prefix_tokens', 0)
        self.class_token = getattr(self.network, 'cls_token', None) is not None
        stages = getattr(self.network, 'feature_info', None)
        # Of a transformer this is the patch, of a pyramid the stride of its last stage.
        stride = stages[-1]['reduction'] if stages else None
        self.last_stride = (stride, stride) if isinstance(stride, int) else stride
        parts = dict(self.network.named_children())
        is_plain = 'blocks' in parts and 'patch_embed' in parts
        self.token_stride = self.last_stride if is_plain and self.last_stride else None
        self.mean = tuple(255 * value for value in trained['mean'])
        self.std = tuple(255 * value for value in trained['std'])
        self.channels_last = getattr(self.network, 'output_fmt', '') == 'NHWC'
        *_, height, width = trained['input_size']
        self.native_size = (height, width)
        self.known_from = f'timm, {model_name}'
        self.out_index = out_index
        if out_index is not None:
            self._choose_stage(out_index, len(stages or ()))

    def _choose_stage(self, out_index: int, count: int) -> None:
        if not hasattr(self.network, 'forward_intermediates') or not -count <= out_index < count:
            raise UserError(
                f'out_index={out_index}: {self.model_name} has {count} stages, of which this timm gives '
                f'{"any" if hasattr(self.network, "forward_intermediates") else "the last only"}; choose another'
            )
        self.out_index = out_index % count
        self.num_extra_tokens = 0  # there are none beside a map
        self.name += f', stage {self.out_index}'

    def forward(self, images: Tensor) -> Features:
        """Features of ``(B, 3, H, W)`` images, normalized as the release wants them.

        Raises:
            UserError: No grid of tokens can be made of the output.
        """
        if self.out_index is not None:
            stage = dict(indices=[self.out_index], stop_early=True, intermediates_only=True, output_fmt='NCHW')
            return from_map(self.network.forward_intermediates(images, **stage)[-1])
        output = self.network.forward_features(images)
        if output.ndim == 4:
            width = self.network.num_features
            channels_last = output.shape[-1] == width and (output.shape[1] != width or self.channels_last)
            return from_map(output.permute(0, 3, 1, 2) if channels_last else output)
        if output.ndim != 3 or self.last_stride is None:
            raise UserError(
                f'the timm model {self.model_name} gives features of shape {tuple(output.shape)}, of which no token '
                'grid can be made; use another network'
            )
        return from_tokens(
            output,
            self.num_extra_tokens,
            self.last_stride,
            (images.shape[2], images.shape[3]),
            self.class_token,
            f'the timm model {self.model_name}',
        )

    def stages(self) -> dict[str, nn.Module]:
        """Stages by timm's names for them; none where they give windows of a transformer."""
        if self.channels_last:
            return {}
        known = dict(self.network.named_modules())
        names = [stage['module'] for stage in getattr(self.network, 'feature_info', None) or ()]
        return {name: known[name] for name in names if name in known} if names else super().stages()

    def convert_weights(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a release as this network's, by timm's own rules for its family or by their order.

        Raises:
            UserError: Their order is not that of the network.
        """
        if any(map(_IN_ORDER.match, weights)):
            return _renamed_in_order(weights, self.network.state_dict(), self.model_name)
        module = sys.modules[type(self.network).__module__]
        convert = getattr(module, 'checkpoint_filter_fn', None)
        return weights if convert is None else convert(weights, self.network)


# Names of the stem in files whose tensors stand in the order of timm's network, under names that count otherwise:
# EfficientNet-PyTorch's and those of a MobileNetV2 that is a plain sequence.
_IN_ORDER = re.compile(r'(_conv_stem|features\.0\.0)\.weight$')
_CLASSIFIER = re.compile(r'(_fc|classifier(\.\d+)?)\.(weight|bias)$')


def _renamed_in_order(weights: dict[str, Tensor], own: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Give the tensors of a file the names of a network that has the same in the same order.

    Raises:
        UserError: It has not: another kind or shape of tensor stands somewhere.
    """
    classifies = any(map(_CLASSIFIER.match, own))
    kept = {key: value for key, value in weights.items() if classifies or not _CLASSIFIER.match(key)}
    pairs = list(zip(kept, own, strict=False))
    same = len(kept) == len(own) and all(
        theirs.rpartition('.')[2] == ours.rpartition('.')[2] and kept[theirs].shape == own[ours].shape
        for theirs, ours in pairs
    )
    if not same:
        raise UserError(f'its tensors are not those of {name} in order: name the network that the file is of')
    return {ours: kept[theirs] for theirs, ours in pairs}
