"""How well the student's patch tokens tell places apart, while pre-training runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmimg2vec.errors import UserError
from mmimg2vec.evaluation.features import evaluating
from mmimg2vec.evaluation.labeled import build_labeled_loader
from mmimg2vec.models.algorithms.masked_image_model import MaskedImageModel
from mmimg2vec.models.heads.token_heads import TokenHead
from mmimg2vec.registry import HOOKS
from mmimg2vec.teacher_selection.formulas import dense_structure
from mmimg2vec.utils.distributed import unwrapped

#: Parts of DSE, beside it, by what they are called in a log.
_PARTS = {
    'dse': 'dense/dse',
    'dse_inter': 'dense/inter',
    'dse_rank': 'dense/rank',
    'dse_intra_image': 'dense/intra_image',
    'dse_intra_group': 'dense/intra_group',
}


@HOOKS.register_module()
class DenseQualityHook(Hook):
    """Measures DSE of the student's own patch tokens, every N epochs and after the last.

    Dense quality can fall while accuracy rises (DSE, arXiv 2510.17299), and detectors and segmenters pay for it. Only
    its course within one run says something: compare the epochs of a run, not runs. In the log, the visualizer's
    backends and the report as ``dense/dse`` and its parts.

    Once, before the first step, it also logs ``position_loss``: the loss of the best prediction that knows the position
    of a patch and nothing of the image. A training loss that stays at this line has learned nothing. It is measured on
    these images uncropped, so it is a line to look at and no bound.

    The first process measures, in float32; training mode and random generators are left as they were.

    Args:
        dataloader: Config of the dataloader of the images, as those of ``KNNHook``; labels are not looked at.
        images: How many of them, at most.
        interval: Epochs between two measurements.

    Raises:
        UserError: ``images`` is below 8, a group of DSE.
    """

    def __init__(self, dataloader: dict, images: int = 128, interval: int = 10) -> None:
        if images < 8:
            raise UserError(f'DenseQualityHook: images={images}: give 8 or more')
        self.config = dataloader
        self.images = images
        self.interval = interval

    def before_run(self, runner: Runner) -> None:
        """Build the dataloader.

        Raises:
            UserError: A folder is missing or empty.
        """
        self.loader = build_labeled_loader(self.config, 'custom_hooks.N.dataloader', runner.seed)

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Measure what learning nothing looks like, at the start of a run."""
        module: Any = unwrapped(runner.model)
        if runner.iter or not (isinstance(module, MaskedImageModel) and isinstance(module.head, TokenHead)):
            return  # a run that goes on, or a method of another library
        with evaluating(module), torch.no_grad():
            targets = [module.target_generator(inputs) for inputs in self._batches(module)]
            target = {key: torch.cat([part[key].float() for part in targets]) for key in targets[0]}
            value = module.head.position_loss(target).item()
        self._log(runner, {'position_loss': value}, 'the loss of a prediction by position alone')

    @master_only
    def after_train_epoch(self, runner: Runner) -> None:
        """Measure, where it is time to."""
        if not (self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)):
            return
        module: Any = unwrapped(runner.model)
        with evaluating(module), torch.no_grad():
            tokens = torch.cat([_patch_tokens(module, inputs).float().cpu() for inputs in self._batches(module)])
        try:
            found = dense_structure(tokens)
        except UserError as error:
            runner.logger.warning(f'Epoch [{runner.epoch + 1}] {error}')
            return
        values = {name: found[key] for key, name in _PARTS.items()}
        self._log(runner, values, f'DSE of {len(tokens)} images', f'Epoch [{runner.epoch + 1}] ')

    def _batches(self, module: Any) -> Iterator[Tensor]:
        """Images as the model gets them."""
        left = self.images
        with torch.random.fork_rng(devices=[]):
            for batch in self.loader:
                inputs = module.data_preprocessor(batch, False)['inputs'][:left]
                yield inputs
                left -= len(inputs)
                if left <= 0:
                    return

    @staticmethod
    def _log(runner: Runner, values: dict[str, float], what: str, head: str = '') -> None:
        runner.message_hub.update_scalars(values)
        runner.visualizer.add_scalars(dict(values), step=runner.iter, file_path=f'{runner.timestamp}.json')
        text = '  '.join(f'{name}: {value:.4f}' for name, value in values.items())
        runner.logger.info(f'{head}{text} ({what})')


def _patch_tokens(module: Any, inputs: Tensor) -> Tensor:
    """``(B, L, C)`` after the last block, without the class token."""
    outputs = module.extract_feat(inputs)
    tokens = outputs[-1] if isinstance(outputs, tuple | list) else outputs
    return tokens.flatten(2).mT if tokens.ndim == 4 else tokens[:, 1:]
