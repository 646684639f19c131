"""Pictures of what the teacher sees and the student predicts, while pre-training runs."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.dataset import default_collate
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmimg2vec.datasets import DrawKey, SeededDataset
from mmimg2vec.evaluation.features import evaluating
from mmimg2vec.models.algorithms import MaskedImageModel
from mmimg2vec.registry import HOOKS
from mmimg2vec.utils.distributed import unwrapped
from mmimg2vec.visualization.features import draw_feature_pictures


@HOOKS.register_module()
class FeaturePictureHook(Hook):
    """Shows inputs, masks, teacher features and predictions of fixed images, every N epochs and after the last.

    The pictures go through mmengine's visualizer under the name ``features``: into ``vis_data/vis_image`` of the run's
    folder, TensorBoard or W&B, whichever backends the config names. Images, crops and masks stay the same throughout.
    Models that are no :class:`MaskedImageModel` are skipped with a line in the log.

    Args:
        interval: Epochs between two pictures.
        num_images: Rows of a picture, spread over the dataset.
    """

    def __init__(self, interval: int = 10, num_images: int = 6) -> None:
        self.interval = interval
        self.num_images = num_images

    def before_train(self, runner: Runner) -> None:
        """Load the images; a dataset that is not seeded is left out too."""
        model, dataset = unwrapped(runner.model), runner.train_dataloader.dataset
        self.active = isinstance(model, MaskedImageModel) and isinstance(dataset, SeededDataset)
        if not self.active:
            runner.logger.info('No feature pictures: they need a MaskedImageModel and a SeededDataset')
            return
        count = min(self.num_images, len(dataset))
        indices = np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist()
        self.batch = default_collate([dataset[DrawKey(index, 0, 0)] for index in indices])

    def after_train_epoch(self, runner: Runner) -> None:
        """Draw, where it is time to."""
        due = self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)
        if not self.active or not due:
            return
        model = unwrapped(runner.model)
        # On every rank: the targets' statistics may be gathered from all.
        with evaluating(model), torch.random.fork_rng(devices=[]), torch.no_grad():
            batch = model.data_preprocessor(dict(self.batch), False)
            result = model.predict_features(batch['inputs'], batch['mask'])
        if not is_main_process():
            return
        picture = draw_feature_pictures(
            rgb_images(self.batch['inputs']),
            result['mask'],
            result['target'],
            result['prediction'],
            result['positions'],
            title=f'epoch {runner.epoch + 1}',
        )
        runner.visualizer.add_image('features', picture, step=runner.epoch + 1)


def rgb_images(inputs: Tensor) -> np.ndarray:
    """Images as loaded, (B, C, H, W) in BGR order, as uint8 (B, H, W, 3) in RGB; the first channel alone of others."""
    images = inputs.cpu().permute(0, 2, 3, 1)
    images = images.flip(-1) if images.shape[-1] == 3 else images[..., :1].expand(*images.shape[:3], 3)
    if images.dtype != torch.uint8:
        images = images.float()
        low, high = images.amin((1, 2, 3), True), images.amax((1, 2, 3), True)
        images = ((images - low) / (high - low).clamp_min(1e-12) * 255).to(torch.uint8)
    return images.numpy()
