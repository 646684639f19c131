"""The training loop: mmengine's, which first looks whether data and model fit."""

from __future__ import annotations

from mmengine.dataset import default_collate
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from mmimg2vec.datasets import DrawKey, SeededDataset
from mmimg2vec.engine.unwrap import unwrapped
from mmimg2vec.errors import UserError
from mmimg2vec.registry import LOOPS


@LOOPS.register_module()
class CheckedTrainLoop(EpochBasedTrainLoop):
    """mmengine's ``EpochBasedTrainLoop``, whose mistakes show before training starts and in one line.

    Args:
        runner: The runner.
        dataloader: Training dataloader or its config.
        **kwargs: ``max_epochs`` and the parent's other arguments.

    Raises:
        UserError: The dataset does not fill one batch on every process; or, when the loop starts, a first sample does
            not fit the model.
    """

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, **kwargs) -> None:
        super().__init__(runner, dataloader, **kwargs)
        # Here rather than in a hook: a schedule in iterations is built before any hook runs, and fails of no steps.
        if len(self.dataloader) == 0:
            raise UserError(
                f'{len(self.dataloader.dataset)} images do not fill one batch of {self.dataloader.batch_size} on every '
                'process: add images, or set a smaller train_dataloader.batch_size'
            )

    def run(self):
        """Check one sample, then train."""
        model = unwrapped(self.runner.model)
        dataset = self.dataloader.dataset
        if hasattr(model, 'check_inputs') and isinstance(dataset, SeededDataset):
            sample = default_collate([dataset[DrawKey(0, 0, 0)]])
            batch = model.data_preprocessor(sample, False)
            if 'mask' in batch:
                model.check_inputs(batch['inputs'], batch['mask'])
        return super().run()
