"""A warning where a run learns nothing, while there is time to end it."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmimg2vec.errors import UserError
from mmimg2vec.registry import HOOKS


@HOOKS.register_module()
class CollapseHook(Hook):
    """Warns, once each, where all tokens of an image look alike, or where the loss has not fallen.

    Looked at is what the head logs anyway: the newest ``target_diversity`` and ``prediction_diversity`` (1 - mean
    cosine of two tokens of an image; 0 where all are equal) and the mean of ``loss`` over ``window`` steps. A target
    without diversity is learned by predicting the same everywhere; a prediction without it has collapsed. Values are
    the project's choice.

    Args:
        min_diversity: Diversity below which tokens count as alike.
        patience: Steps after which the loss has to be lower than at the beginning, and predictions to differ.
        min_fall: By which share of itself the loss has to have fallen by then.
        window: Steps between two looks, and of the mean of the loss.
    """

    # Behind the hooks that log.
    priority = 'LOW'

    def __init__(
        self, min_diversity: float = 0.01, patience: int = 1000, min_fall: float = 0.01, window: int = 50
    ) -> None:
        if not 1 <= window <= patience:
            raise UserError(f'CollapseHook: window={window} has to be between 1 and patience={patience}')
        self.min_diversity, self.patience = min_diversity, patience
        self.min_fall, self.window = min_fall, window
        self.first_loss: float | None = None
        self.said: set[str] = set()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Look, every ``window`` steps."""
        if not self.every_n_train_iters(runner, self.window):
            return
        history = runner.message_hub.log_scalars
        loss = float(history['train/loss'].mean(self.window)) if 'train/loss' in history else None
        if self.first_loss is None:
            self.first_loss = loss
        late = runner.iter + 1 >= self.patience
        for key, cure in (
            ('target_diversity', 'the teacher sees the same everywhere: take another one, or look at its images'),
            ('prediction_diversity', 'the predictions have collapsed: lower the learning rate'),
        ):
            value = float(history[f'train/{key}'].current()) if f'train/{key}' in history else 1.0
            if value < self.min_diversity and (late or key == 'target_diversity'):
                self._warn(runner, key, f'{key} is {value:.4f}, near 0: {cure}')
        if late and loss is not None and self.first_loss is not None and loss > (1 - self.min_fall) * self.first_loss:
            self._warn(
                runner,
                'loss',
                f'the loss is {loss:.4f} and was {self.first_loss:.4f} after {self.window} steps: nothing is being '
                'learned; look at the learning rate, the targets and the images',
            )

    def _warn(self, runner: Runner, key: str, line: str) -> None:
        if key not in self.said:
            self.said.add(key)
            runner.logger.warning(f'step {runner.iter + 1}: {line}')
