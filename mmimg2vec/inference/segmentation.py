"""Segmentation with mmseg's inferencer."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmseg.apis import MMSegInferencer
from mmseg.registry import DATASETS

from mmimg2vec.inference.base import MMEngineInferencer


class Inferencer(MMEngineInferencer, MMSegInferencer):
    """``MMSegInferencer`` that refuses weights of another model."""

    datasets = DATASETS
    visualizer_type = 'SegLocalVisualizer'

    def predict(self, path: str, score_threshold: float) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        """Name the class of each pixel of an image; see the base class.

        Returns:
            ``shares``, class -> share of the pixels, largest first; the picture (H, W, 3), RGB; the map (H, W) of
            indices into the class list.
        """
        result = self(path, return_vis=True, opacity=0.5)
        labels = result['predictions']
        classes = self.meta['classes']
        counts = np.bincount(labels.ravel(), minlength=len(classes))
        shares = {
            classes[index]: round(float(counts[index] / labels.size), 6)
            for index in np.argsort(-counts, kind='stable')
            if counts[index]
        }
        dtype = np.uint8 if len(classes) <= 256 else np.uint16
        return {'shares': shares}, result['visualization'], labels.astype(dtype)
