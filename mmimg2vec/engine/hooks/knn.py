"""kNN accuracy of the frozen features while pre-training runs."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from mmengine.hooks import Hook
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmimg2vec.datasets import SeededDataset
from mmimg2vec.datasets.folders import build_dataset
from mmimg2vec.evaluation.features import POOLS, extract_features
from mmimg2vec.evaluation.knn import knn_accuracy
from mmimg2vec.registry import HOOKS


@HOOKS.register_module()
class KNNHook(Hook):
    """Classifies labelled images by their nearest neighbours among others, every N epochs and after the last.

    The percentages appear in the log, in the visualizer's backends (TensorBoard, W&B) and in the message hub as
    ``knn/accuracy_cls_token`` and ``knn/accuracy_patch_mean``. All ranks share the work. The features are those of
    ``evaluation.extract_features``, in float32; training mode and random generators are left as they were.

    Args:
        bank_dataloader: Config of the dataloader of the images that vote, with a pipeline without randomness ending in
            ``mmpretrain.PackInputs``. Sampler and ``collate_fn`` may be left out.
        query_dataloader: The same of the images that are classified.
        interval: Epochs between two evaluations.
        k: Number of neighbours.
        temperature: See ``evaluation.knn_accuracy``.
        pools: Any of 'cls' (class token) and 'mean' (mean of the patch tokens).
    """

    def __init__(
        self,
        bank_dataloader: dict,
        query_dataloader: dict,
        interval: int = 10,
        k: int = 20,
        temperature: float = 0.07,
        pools: Sequence[str] = ('cls', 'mean'),
    ) -> None:
        self.configs = {'bank_dataloader': bank_dataloader, 'query_dataloader': query_dataloader}
        self.interval = interval
        self.k = k
        self.temperature = temperature
        self.pools = tuple(pools)

    def before_run(self, runner: Runner) -> None:
        """Build the dataloaders.

        Raises:
            UserError: A folder is missing or empty.
        """
        self.loaders = {name: self._build(runner, name) for name in self.configs}

    def after_train_epoch(self, runner: Runner) -> None:
        """Evaluate, where it is time to."""
        if not (self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)):
            return
        bank, bank_labels = extract_features(
            runner.model, self.loaders['bank_dataloader'], self.pools
        )
        query, query_labels = extract_features(
            runner.model, self.loaders['query_dataloader'], self.pools
        )
        device = next(runner.model.parameters()).device
        accuracies = {
            f'knn/accuracy_{POOLS[pool]}': knn_accuracy(
                *(rows.to(device) for rows in (bank[pool], bank_labels, query[pool], query_labels)),
                k=self.k,
                temperature=self.temperature,
            )
            for pool in self.pools
        }
        runner.message_hub.update_scalars(accuracies)
        runner.visualizer.add_scalars(
            dict(accuracies), step=runner.iter, file_path=f'{runner.timestamp}.json'
        )
        text = '  '.join(f'{name}: {value:.2f}' for name, value in accuracies.items())
        runner.logger.info(
            f'Epoch [{runner.epoch + 1}] {text} ({len(bank_labels)} images vote on {len(query_labels)})'
        )

    def _build(self, runner: Runner, name: str) -> DataLoader:
        config = copy.deepcopy(dict(self.configs[name]))
        key = f'custom_hooks.{self._position(runner)}.{name}.dataset'
        dataset = build_dataset(config['dataset'], ROOT_DATASETS, key)
        # An unreadable image, of `mmimg2vec.LoadImage`, is replaced there instead of ending the run.
        config['dataset'] = SeededDataset(dataset)
        config.setdefault('sampler', {'type': 'DefaultSampler', 'shuffle': False})
        config.setdefault('collate_fn', {'type': 'default_collate'})
        with torch.random.fork_rng(devices=[]):
            return runner.build_dataloader(config, seed=runner.seed)

    @staticmethod
    def _position(runner: Runner) -> int | str:
        types = [str(hook.get('type')) for hook in runner.cfg.get('custom_hooks') or []]
        return next((i for i, name in enumerate(types) if name.endswith('KNNHook')), 'N')
