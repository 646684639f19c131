"""What the inferencers of the three tasks share: whole weights, the config's own pipeline, one way to be called."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import Registry

from mmimg2vec.checkpoint.trained import fill_trained
from mmimg2vec.inference.model import dataset_meta, path_pipeline


class ImageInferencer(ABC):
    """Predicts for one image after the other; stands before the library's own inferencer among the bases.

    Attributes:
        meta: ``classes``, and ``palette``, an RGB color each.
    """

    meta: dict[str, Any]

    @abstractmethod
    def predict(self, path: str, score_threshold: float) -> tuple[dict[str, Any], np.ndarray, np.ndarray | None]:
        """Predict for an image.

        Args:
            path: Image file.
            score_threshold: Objects below are left out; tasks without objects have no use for it.

        Returns:
            What is written to JSON; the picture (H, W, 3), RGB; and the map (H, W) of indices into the class list,
            for a task that has one.
        """

    def _init_pipeline(self, cfg: Config) -> Any:
        return path_pipeline(cfg)


class MMEngineInferencer(ImageInferencer):
    """For those of mmdet and mmseg, which build the model and then fill it by a method of theirs.

    Args:
        cfg: Config of a model.
        checkpoint: Its weights; those of another model are refused.
        device: Such as ``'cpu'``.

    Attributes:
        datasets: Registry of the library's datasets.
        visualizer_type: Type of what draws the pictures.
    """

    datasets: Registry
    visualizer_type: str

    def __init__(self, cfg: Config, checkpoint: str, device: str) -> None:
        self.source = checkpoint
        cfg.visualizer = {'type': self.visualizer_type}
        super().__init__(cfg, checkpoint, device=device)  # type: ignore[call-arg]  # the library's
        self.show_progress = False  # not everywhere an argument

    def _load_weights_to_model(self, model: Any, checkpoint: dict, cfg: Config) -> None:
        fill_trained(model, checkpoint, self.source)
        self.meta = model.dataset_meta = dataset_meta(cfg, checkpoint, self.datasets, model)
