"""A sampler that tells the dataset which draw of a sample it asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import NamedTuple

from mmengine.dataset import DefaultSampler

from mmimg2vec.datasets.errors import DataError
from mmimg2vec.registry import DATA_SAMPLERS


class DrawKey(NamedTuple):
    """What :class:`SeededSampler` yields and :class:`~mmimg2vec.datasets.SeededDataset` takes.

    Attributes:
        index: Position of the sample in the dataset.
        draw: Number of the epoch that draws it, from 0.
        seed: Seed of the run, the same on every rank.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody asks a key for
    draw: int
    seed: int


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """mmengine's ``DefaultSampler`` whose items are :class:`DrawKey` instead of bare indices.

    Worker processes never learn the epoch (mmengine calls ``set_epoch`` in the main process alone), so the epoch
    travels with each index. Rank r of W takes the items r, r + W, r + 2W ... of the epoch's permutation: the k-th
    batches of b samples of all ranks together are the k-th batch of W * b samples of one process. With
    ``drop_last=True`` in the dataloader the number of batches agrees too (the project's choice; see ``round_up``).

    Args:
        dataset: The dataset.
        shuffle: A new permutation in every epoch; otherwise the order of the dataset.
        seed: Seed of the permutation and of everything random in the samples; None draws one common to all ranks.
            mmengine passes the run's seed.
        round_up: What happens to the remainder of ``len(dataset) / W``. False leaves it out of this epoch, so that
            no sample occurs twice; True repeats samples until every rank has as many as the others.

    Raises:
        DataError: There are fewer samples than ranks and ``round_up`` is False.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None, round_up: bool = False) -> None:
        super().__init__(dataset, shuffle=shuffle, seed=seed, round_up=round_up)
        if not round_up:
            # The parent gives some ranks one more than others here, and the longer ranks would wait for ever.
            self.num_samples = len(dataset) // self.world_size
            self.total_size = self.num_samples * self.world_size
        if self.num_samples == 0:
            raise DataError(
                f'{len(dataset)} samples do not give each of {self.world_size} processes one: add images or start '
                'fewer processes'
            )

    def __iter__(self) -> Iterator[DrawKey]:
        """Iterate over this rank's keys of the current epoch."""
        draw = self.epoch
        return (DrawKey(index, draw, self.seed) for index in super().__iter__())
