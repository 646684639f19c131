"""kNN accuracy of the frozen features while pre-training runs."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmimg2vec.evaluation.features import POOLS, extract_features
from mmimg2vec.evaluation.labeled import LOADERS, build_labeled_loaders, knn_accuracies
from mmimg2vec.registry import HOOKS

_START = 'knn_before_training'


@HOOKS.register_module()
class KNNHook(Hook):
    """Classifies labeled images by their nearest neighbors among others, every N epochs and after the last.

    The percentages appear in the log, in the visualizer's backends (TensorBoard, W&B) and in the message hub as
    ``knn/accuracy_cls_token`` and ``knn/accuracy_patch_mean``. All ranks share the work. The features are those of
    ``evaluation.extract_features``, in float32; training mode and random generators are left as they were.

    Args:
        bank_dataloader: Config of the dataloader of the images that vote, with a pipeline without randomness ending in
            ``mmpretrain.PackInputs``. Sampler and ``collate_fn`` may be left out.
        query_dataloader: The same of the images that are classified.
        interval: Epochs between two evaluations.
        k: Number of neighbors.
        temperature: See ``evaluation.knn_accuracy``.
        pools: Any of 'cls' (class token) and 'mean' (mean of the patch tokens).
        before: Evaluate before the first step too, and say when an accuracy falls below that by more than
            ``tolerance``: for runs that go on from a backbone that is good already.
        tolerance: In percent; what chance does to an accuracy on some hundred images (the project's choice).
    """

    def __init__(
        self,
        bank_dataloader: dict,
        query_dataloader: dict,
        interval: int = 10,
        k: int = 20,
        temperature: float = 0.07,
        pools: Sequence[str] = ('cls', 'mean'),
        before: bool = False,
        tolerance: float = 1.0,
    ) -> None:
        self.configs = dict(zip(LOADERS, (bank_dataloader, query_dataloader), strict=True))
        self.interval = interval
        self.k = k
        self.temperature = temperature
        self.pools = tuple(pools)
        self.before = before
        self.tolerance = tolerance

    def before_run(self, runner: Runner) -> None:
        """Build the dataloaders.

        Raises:
            UserError: A folder is missing or empty.
        """
        place = f'custom_hooks.{self._position(runner)}'
        self.loaders = build_labeled_loaders(self.configs, place, runner.seed)

    def before_train(self, runner: Runner) -> None:
        """Evaluate what the run starts from, unless it goes on from a checkpoint, which has the numbers."""
        if self.before and runner.iter == 0:
            runner.message_hub.update_info(_START, self._evaluate(runner, 'before training'))

    def after_train_epoch(self, runner: Runner) -> None:
        """Evaluate, where it is time to."""
        if not (self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)):
            return
        found = self._evaluate(runner, f'Epoch [{runner.epoch + 1}]')
        start = runner.message_hub.get_info(_START) if self.before else {}
        for name, value in found.items():
            if value < start.get(name, value) - self.tolerance:
                runner.logger.warning(
                    f'{name} fell from {start[name]:.2f} before training to {value:.2f}: the run makes the backbone '
                    'worse; begin anew with a smaller optim_wrapper.optimizer.lr, or fewer epochs'
                )

    def _evaluate(self, runner: Runner, when: str) -> dict[str, float]:
        bank, query = (extract_features(runner.model, loader, self.pools) for loader in self.loaders)
        device = next(runner.model.parameters()).device
        found = knn_accuracies(bank, query, self.k, self.temperature, device)
        accuracies = {f'knn/accuracy_{POOLS[pool]}': value for pool, value in found.items()}
        runner.message_hub.update_scalars(accuracies)
        runner.visualizer.add_scalars(dict(accuracies), step=runner.iter, file_path=f'{runner.timestamp}.json')
        text = '  '.join(f'{name}: {value:.2f}' for name, value in accuracies.items())
        runner.logger.info(f'{when} {text} ({len(bank[1])} images vote on {len(query[1])})')
        return accuracies

    @staticmethod
    def _position(runner: Runner) -> int | str:
        types = [str(hook.get('type')) for hook in runner.cfg.get('custom_hooks') or []]
        return next((i for i, name in enumerate(types) if name.endswith('KNNHook')), 'N')
