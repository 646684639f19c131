"""A dataset wrapper that makes every sample a function of (seed, draw, index), whoever loads it.

Exact resume and exact comparison between launchers follow from that: neither the number of workers, nor which
worker or rank loads a sample, nor an interruption changes what it looks like.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS as ROOT_DATASETS

from mmimg2vec.datasets.errors import DataError, UnreadableImage
from mmimg2vec.datasets.folders import build_dataset
from mmimg2vec.datasets.sampling import DrawKey
from mmimg2vec.datasets.unreadable import UnreadableList
from mmimg2vec.registry import DATASETS

# So many unreadable files in a row mean that the folder, not a file, is wrong.
_MAX_REPLACEMENTS = 100


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

    A sample whose image is unreadable (:class:`UnreadableImage`, raised by ``mmimg2vec.LoadImage``) is replaced by
    another one, chosen from the same seeds, and put on the list ``unreadable``.

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
                    return self.dataset[index if attempt == 0 else random.randrange(len(self))]
                except UnreadableImage as error:
                    unreadable = error
            self.unreadable.add(unreadable)
        raise DataError(
            f'{_MAX_REPLACEMENTS} images in a row are unreadable, the last of them {unreadable}: check the data folder'
        )

    def full_init(self) -> None:
        """Read the annotations of the wrapped dataset."""
        self.dataset.full_init()

    def get_data_info(self, key: DrawKey | int) -> dict:
        """Annotation of the sample of a key, from the wrapped dataset; samplers that group by shape ask for it."""
        return self.dataset.get_data_info(key.index if isinstance(key, tuple) else key)

    @property
    def metainfo(self) -> dict:
        """Meta information of the wrapped dataset."""
        return self.dataset.metainfo
