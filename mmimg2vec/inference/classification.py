"""Classification with mmpretrain's inferencer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mmcv
import numpy as np
from mmengine.config import Config
from mmpretrain.apis import ImageClassificationInferencer, get_model
from mmpretrain.apis.base import BaseInferencer
from mmpretrain.registry import DATASETS
from mmpretrain.visualization import UniversalVisualizer

from mmimg2vec.checkpoint.sources import load_checkpoint
from mmimg2vec.checkpoint.trained import fill_trained
from mmimg2vec.inference.base import ImageInferencer
from mmimg2vec.inference.model import dataset_meta

# Pixels of a picture's shorter side at least: the text has to be readable.
_SIDE = 320
# And of its longer one at most, where it is enlarged for that.
_LONGEST = 4096
_TOP = 5


class Inferencer(ImageInferencer, ImageClassificationInferencer):
    """``ImageClassificationInferencer`` that refuses weights of another model.

    Args:
        cfg: Config of a classifier.
        checkpoint: Its weights.
        device: Such as ``'cpu'``.
    """

    def __init__(self, cfg: Config, checkpoint: str, device: str) -> None:
        weights = load_checkpoint(checkpoint)
        model = get_model(cfg)
        fill_trained(model, weights, checkpoint)
        self.meta = model._dataset_meta = dataset_meta(cfg, weights, DATASETS, model)
        super().__init__(model, device=device)
        self.visualizer = UniversalVisualizer()

    def predict(self, path: str, score_threshold: float) -> tuple[dict[str, Any], np.ndarray, None]:
        """Classify an image; see the base class.

        Returns:
            ``label``, ``class``, ``score`` and the five likeliest as ``top``; the picture (H, W, 3), RGB; no map.
        """
        (batch,) = self.preprocess([path])
        (sample,) = self.forward(batch)
        scores = sample.pred_score.cpu()
        top = [
            {
                'label': int(label),
                'class': self.classes[int(label)],
                'score': round(float(score), 6),
            }
            for score, label in zip(*scores.topk(min(_TOP, len(scores))), strict=True)
        ]
        image = mmcv.imread(path, channel_order='rgb')
        short, long = sorted(image.shape[:2])
        self.visualizer.visualize_cls(
            image,
            sample,
            classes=self.classes,
            draw_gt=False,
            resize=max(short, min(_SIDE, short * _LONGEST // long)),
        )
        return {**top[0], 'top': top}, self.visualizer.get_image(), None

    def preprocess(self, inputs: list[str], batch_size: int = 1) -> Iterator[dict]:
        """Run the config's pipeline, the loader included, on paths."""
        return BaseInferencer.preprocess(self, inputs, batch_size)
