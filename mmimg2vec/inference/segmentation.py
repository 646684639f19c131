"""Segmentation with mmseg's inferencer."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmengine.config import Config
from mmseg.apis import MMSegInferencer
from mmseg.registry import DATASETS
from torch import nn

from mmimg2vec.inference.model import dataset_meta, fill_trained, path_pipeline


class Inferencer(MMSegInferencer):
    """``MMSegInferencer`` that refuses weights of another model.

    Args:
        cfg: Config of a segmenter.
        checkpoint: Its weights.
        device: Such as ``'cpu'``.
    """

    def __init__(self, cfg: Config, checkpoint: str, device: str) -> None:
        self.source = checkpoint
        cfg.visualizer = {'type': 'SegLocalVisualizer'}
        super().__init__(cfg, checkpoint, device=device)
        self.show_progress = False  # no argument of the original distribution

    def predict(self, path: str, score_threshold: float) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        """Name the class of each pixel of an image.

        Args:
            path: Image file.
            score_threshold: Not used: every pixel has a class.

        Returns:
            ``shares``, class -> share of the pixels, largest first; the picture (H, W, 3), RGB; the map (H, W) of
            indices into the class list.
        """
        result = self(path, return_vis=True, opacity=0.5)
        labels = result['predictions']
        classes = self.model.dataset_meta['classes']
        counts = np.bincount(labels.ravel(), minlength=len(classes))
        shares = {
            classes[index]: round(float(counts[index] / labels.size), 6)
            for index in np.argsort(-counts, kind='stable')
            if counts[index]
        }
        dtype = np.uint8 if len(classes) <= 256 else np.uint16
        return {'shares': shares}, result['visualization'], labels.astype(dtype)

    def _load_weights_to_model(self, model: nn.Module, checkpoint: dict, cfg: Config) -> None:
        fill_trained(model, checkpoint, self.source)
        model.dataset_meta = dataset_meta(cfg, checkpoint, DATASETS, model)

    def _init_pipeline(self, cfg: Config) -> Any:
        return path_pipeline(cfg)
