"""Fine-tuned classifiers and segmenters as ONNX graphs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from mmimg2vec.checkpoint.export import larger_size
from mmimg2vec.checkpoint.files import check_target, write_checked
from mmimg2vec.checkpoint.onnx_graph import OPSET, write_onnx
from mmimg2vec.checkpoint.parity import Parity
from mmimg2vec.checkpoint.sources import load_checkpoint
from mmimg2vec.checkpoint.trained import fill_trained
from mmimg2vec.environment import require
from mmimg2vec.errors import UserError
from mmimg2vec.version import __version__

_TASKS = {'mmpretrain': 'classification', 'mmseg': 'segmentation'}


class _Classifier(nn.Module):
    """Images ``(B, C, H, W)`` -> scores ``(B, classes)`` before the softmax."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images, mode='tensor')


class _Segmenter(nn.Module):
    """Images ``(B, C, H, W)`` -> scores ``(B, classes, H, W)`` before the softmax, of the image as a whole."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        scores = self.model.decode_head(self.model.extract_feat(images))
        align = self.model.decode_head.align_corners
        return F.interpolate(scores, size=images.shape[2:], mode='bilinear', align_corners=align)


def export_model(cfg: Config, checkpoint: str | Path, target: str | Path, opset: int = OPSET) -> dict[str, Any]:
    """Write a fine-tuned classifier or segmenter as a graph ``images`` -> ``scores``, after checking what it computes.

    Args:
        cfg: Config that has trained it.
        checkpoint: Its weights; nothing in the file is executed.
        target: File to write, ``.onnx``; ``target.json`` beside it has ``mean``, ``std``, ``any_size`` and ``parity``.
        opset: Version of ONNX's operators.

    Returns:
        What was written to ``target.json``; ``any_size``: whether the graph takes images of other sizes than that of
        the config.

    Raises:
        UserError: It is a detector, the weights are of another model, or the graph cannot express or run the network.
    """
    target = Path(target)
    check_target(target, ('.onnx',), 'ONNX')
    task = _TASKS.get(cfg.get('default_scope', ''))
    if task is None:
        raise UserError(
            'classifiers (mmpretrain) and segmenters (mmseg) become ONNX graphs; detectors need operators of mmcv: see '
            'mmdeploy'
        )
    require(cfg.default_scope, task.capitalize())
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    fill_trained(model, load_checkpoint(str(checkpoint)), str(checkpoint))
    model.eval()
    network = _Classifier(model) if task == 'classification' else _Segmenter(model)
    backbone, preprocessing = cfg.model.backbone, cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor')
    size, patch = _pair(backbone.get('img_size', 224)), _pair(backbone.get('patch_size', 16))
    channels = backbone.get('in_channels', 3)
    sizes = [size, larger_size(size, patch)]
    if not _runs(network, channels, sizes[1]):
        sizes = sizes[:1]
    parity: list[Parity] = []

    def write(part: Path) -> None:
        parity.extend(write_onnx(network, part, sizes, channels, 'scores', opset))

    scaled = {key: [round(value / 255, 6) for value in preprocessing[key]] for key in ('mean', 'std')}
    rgb = preprocessing.get('to_rgb') or preprocessing.get('bgr_to_rgb')
    metadata = {
        'task': task,
        'source': Path(checkpoint).name,
        'mmimg2vec_version': __version__,
        'opset': opset,
        'input': 'images',
        'output': 'scores',
        'img_size': list(size),
        'any_size': len(sizes) > 1,
        **scaled,
        'channel_order': 'RGB' if rgb else 'BGR',
    }
    return write_checked(
        target, write, metadata, lambda part: {'parity': [dataclasses.asdict(result) for result in parity]}
    )


def _runs(network: nn.Module, channels: int, size: tuple[int, int]) -> bool:
    """Whether the network itself takes images of another size."""
    try:
        with torch.no_grad():
            network(torch.zeros(1, channels, *size))
    except (RuntimeError, AssertionError, ValueError):
        return False
    return True


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)
