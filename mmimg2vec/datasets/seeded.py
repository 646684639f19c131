"""A sampler and a dataset wrapper that make every sample a function of (seed, draw, index), whoever loads it.

Exact resume and exact comparison between launchers follow from that: neither the number of workers, nor which
worker or rank loads a sample, nor an interruption changes what it looks like.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sized
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dataset import BaseDataset, DefaultSampler
from mmengine.registry import DATASETS as ROOT_DATASETS

from mmimg2vec.datasets.errors import DataError, UnreadableImage
from mmimg2vec.datasets.folders import build_dataset
from mmimg2vec.datasets.image_files import UnreadableList
from mmimg2vec.datasets.maps import load_sample
from mmimg2vec.datasets.transforms.masking import RandomTokenMask
from mmimg2vec.registry import DATA_SAMPLERS, DATASETS

# So many unreadable files in a row mean that the folder, not a file, is wrong.
_MAX_REPLACEMENTS = 100


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
        draw, order = self.epoch, self._order_of_dataset()
        indices = super().__iter__() if order is None else map(int, order)
        return (DrawKey(index, draw, self.seed) for index in indices)

    def _order_of_dataset(self) -> np.ndarray | None:
        """This rank's share of the order that a dataset in shards draws for the epoch; None where it has none."""
        if not self.shuffle or not hasattr(self.dataset, 'draw_order'):
            return None
        order = self.dataset.draw_order(torch.Generator().manual_seed(self.seed + self.epoch))
        if order is not None:
            order = np.resize(order, self.total_size)[self.rank :: self.world_size]
        return order


@contextlib.contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Seed ``random``, ``numpy.random`` and torch's CPU generator from ``key`` for a while, then restore them.

    In a DataLoader worker, where nothing else draws from them, they are not restored: that would cost as much as
    flipping the image.

    Args:
        key: Non-negative numbers; each different key gives unrelated streams.
    """
    in_worker = torch.utils.data.get_worker_info() is not None
    states = None if in_worker else _get_states()
    words = np.random.SeedSequence(key).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    # Not torch.manual_seed: that also seeds the GPUs, whose state would not be restored.
    torch.default_generator.manual_seed(int(words[2]) << 32 | int(words[3]))
    try:
        yield
    finally:
        if states is not None:
            _set_states(states)


def _get_states() -> tuple:
    return random.getstate(), np.random.get_state(), torch.default_generator.get_state()


def _set_states(states: tuple) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.default_generator.set_state(states[2])


@DATASETS.register_module()
class SeededDataset:
    """Wraps a dataset so that its random parts depend on (seed, draw, index) alone (the project's choice).

    To be used with :class:`~mmimg2vec.datasets.SeededSampler`. Transforms may use ``random``, ``numpy.random`` and
    torch's global CPU generator; a transform with a generator of its own stays outside this rule.

    A sample whose image or map is unreadable (:class:`UnreadableImage`, raised by ``mmimg2vec.LoadImage``) is replaced
    by another one, chosen from the same seeds, and put on the list ``unreadable``.

    Args:
        dataset: Config of the wrapped dataset, or the dataset itself.
        config_key: Where ``dataset`` stands in the config, for error messages.

    Attributes:
        unreadable: The unreadable images met; ``mmimg2vec.UnreadableImagesHook`` gives it a file.

    Raises:
        UserError: The data folder or the annotation file is missing or empty.
    """

    def __init__(self, dataset: dict | BaseDataset, config_key: str = 'train_dataloader.dataset.dataset') -> None:
        self.dataset = build_dataset(dataset, ROOT_DATASETS, config_key)
        self.unreadable = UnreadableList()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: DrawKey | int) -> Any:
        """Load the sample of a key; a plain index means draw 0 of seed 0.

        Raises:
            DataError: No readable image was found in place of an unreadable one.
        """
        index, draw, seed = key if isinstance(key, tuple) else (key, 0, 0)
        for attempt in range(_MAX_REPLACEMENTS):
            with seeded(seed, draw, index, attempt):
                try:
                    # A replacement's index is its first random number.
                    return load_sample(self.dataset, index if attempt == 0 else random.randrange(len(self)))
                except UnreadableImage as error:
                    unreadable = error
            self.unreadable.add(unreadable)
        raise DataError(
            f'{_MAX_REPLACEMENTS} images in a row are unreadable, the last of them {unreadable}: check the data folder'
        )

    def draw_order(self, generator: torch.Generator) -> np.ndarray | None:
        """The order of an epoch where the wrapped dataset has one of its own, as shards have; otherwise None."""
        draw = getattr(self.dataset, 'draw_order', None)
        return None if draw is None else draw(generator)

    def full_init(self) -> None:
        """Read the annotations of the wrapped dataset."""
        self.dataset.full_init()

    def get_data_info(self, key: DrawKey | int) -> dict:
        """Annotation of the sample of a key, from the wrapped dataset; samplers that group by shape ask for it."""
        return self.dataset.get_data_info(key.index if isinstance(key, tuple) else key)

    @property
    def masks_per_image(self) -> int:
        """Masks that the pipeline draws for an image; 1 where it draws none."""
        transforms = getattr(getattr(self.dataset, 'pipeline', None), 'transforms', ())
        return next((step.masks_per_image for step in transforms if isinstance(step, RandomTokenMask)), 1)

    @property
    def metainfo(self) -> dict:
        """Meta information of the wrapped dataset."""
        return self.dataset.metainfo
