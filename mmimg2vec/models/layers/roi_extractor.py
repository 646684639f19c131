"""Features of regions whose gradients reach the pyramid scaled, for mmdet's cascades."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseModule
from torch import Tensor

from mmimg2vec.registry import MODELS


@MODELS.register_module()
class ScaledGradientRoIExtractor(BaseModule):
    """An extractor of mmdet whose values are as they are and whose gradients into the feature maps are scaled.

    Source: detectron2's Cascade R-CNN, on which ViTDet (arXiv 2203.16527) reports. There the losses of the stages are
    added up unweighted, and each stage's gradient into the features is divided by the number of stages, so that heads
    learn at the rate of a single one and the backbone at that of their mean.

    Args:
        gradient_scale: Factor of the gradients; 1 / 3 for a cascade of three stages.
        **kwargs: Of mmdet's ``SingleRoIExtractor``.

    Attributes:
        num_inputs: Levels of the pyramid that are read.
        out_channels: Their width.
        featmap_strides: Their strides in pixels.
    """

    def __init__(self, gradient_scale: float, **kwargs: Any) -> None:
        super().__init__()
        self.gradient_scale = gradient_scale
        self.extractor = MODELS.build(dict(type='mmdet.SingleRoIExtractor', **kwargs))
        self.num_inputs = self.extractor.num_inputs
        self.out_channels = self.extractor.out_channels
        self.featmap_strides = self.extractor.featmap_strides

    def forward(self, feats: tuple[Tensor, ...], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """Pool regions.

        Args:
            feats: Levels ``(B, C, H, W)``.
            rois: Regions ``(N, 5)``: index of the image, corners in pixels.
            roi_scale_factor: Factor of the regions' sides.

        Returns:
            ``(N, C, h, w)``.
        """
        pooled = self.extractor(feats, rois, roi_scale_factor)
        if not pooled.requires_grad:
            return pooled
        return pooled.detach() + self.gradient_scale * (pooled - pooled.detach())
