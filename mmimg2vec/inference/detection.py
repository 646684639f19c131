"""Detection with mmdet's inferencer."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmdet.apis import DetInferencer
from mmdet.registry import DATASETS
from mmengine.config import Config
from torch import nn

from mmimg2vec.inference.model import dataset_meta, fill_trained, path_pipeline


class Inferencer(DetInferencer):
    """``DetInferencer`` that refuses weights of another model.

    Args:
        cfg: Config of a detector.
        checkpoint: Its weights.
        device: Such as ``'cpu'``.
    """

    def __init__(self, cfg: Config, checkpoint: str, device: str) -> None:
        self.source = checkpoint
        cfg.visualizer = {'type': 'DetLocalVisualizer'}
        super().__init__(cfg, checkpoint, device=device, show_progress=False)

    def predict(self, path: str, score_threshold: float) -> tuple[dict[str, Any], np.ndarray, None]:
        """Find the objects in an image.

        Args:
            path: Image file.
            score_threshold: Objects below are left out.

        Returns:
            ``objects``, each with ``label``, ``class``, ``score``, ``bbox`` (x1, y1, x2, y2 in pixels) and, where the
            detector makes one, ``mask`` (COCO's run lengths); the picture (H, W, 3), RGB; no map.
        """
        result = self(path, return_vis=True, pred_score_thr=score_threshold)
        found = result['predictions'][0]
        masks = found.get('masks', [None] * len(found['labels']))
        objects = [
            {
                'label': label,
                'class': self.model.dataset_meta['classes'][label],
                'score': round(score, 6),
                'bbox': [round(value, 2) for value in bbox],
                **({} if mask is None else {'mask': mask}),
            }
            for label, score, bbox, mask in zip(found['labels'], found['scores'], found['bboxes'], masks, strict=True)
            if score > score_threshold
        ]
        return {'objects': objects}, result['visualization'][0], None

    def _load_weights_to_model(self, model: nn.Module, checkpoint: dict, cfg: Config) -> None:
        fill_trained(model, checkpoint, self.source)
        model.dataset_meta = dataset_meta(cfg, checkpoint, DATASETS, model)

    def _init_pipeline(self, cfg: Config) -> Any:
        return path_pipeline(cfg)
