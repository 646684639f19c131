"""Detection with mmdet's inferencer."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmdet.apis import DetInferencer
from mmdet.registry import DATASETS

from mmimg2vec.inference.base import MMEngineInferencer


class Inferencer(MMEngineInferencer, DetInferencer):
    """``DetInferencer`` that refuses weights of another model."""

    datasets = DATASETS
    visualizer_type = 'DetLocalVisualizer'

    def predict(self, path: str, score_threshold: float) -> tuple[dict[str, Any], np.ndarray, None]:
        """Find the objects in an image; see the base class.

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
                'class': self.meta['classes'][label],
                'score': round(score, 6),
                'bbox': [round(value, 2) for value in bbox],
                **({} if mask is None else {'mask': mask}),
            }
            for label, score, bbox, mask in zip(found['labels'], found['scores'], found['bboxes'], masks, strict=True)
            if score > score_threshold
        ]
        return {'objects': objects}, result['visualization'][0], None
