"""A dataset of images in shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mmimg2vec.datasets.shards.index import open_index
from mmimg2vec.datasets.stored import StoredImages, no_labels
from mmimg2vec.registry import DATASETS


@DATASETS.register_module()
class ShardedImages(StoredImages):
    """Images in shards that ``tools/dataset_converters/make_shards.py`` has made, each read by one ``pread``.

    Map-style: sampler, exact resume, replaced images and seeded draws are those of folders. A folder dataset of
    mmpretrain whose folder holds shards becomes this one by itself. (The project's choice.)

    Args:
        data_root: Folder of the shards, or a URL of it that fsspec reads, such as ``s3://bucket/folder``.
        data_prefix: Folder inside ``data_root``.
        split: Another name of it, as mmpretrain's ``ImageNet`` has it.
        pipeline: Configs of transforms.
        with_label: Label images by the class folder in their names; others are left out.
        metainfo: May have ``classes``.
        window: Images that are shuffled among each other in training. Shards follow one another in an order that each
            epoch draws, and their images are shuffled in blocks of so many: reads stay within some shards.
        config_key: Where the dataset stands in the config, for messages.

    Raises:
        UserError: There are no shards, or the index does not belong to them.
    """

    def __init__(
        self,
        data_root: str,
        data_prefix: str | dict = '',
        split: str = '',
        pipeline: Sequence[Any] = (),
        with_label: bool = True,
        metainfo: dict | None = None,
        window: int = 1 << 15,
        config_key: str = 'train_dataloader.dataset.dataset',
    ) -> None:
        super().__init__(pipeline, metainfo)
        prefix = data_prefix.get('img_path', '') if isinstance(data_prefix, dict) else data_prefix
        self.data_root = '/'.join(part.rstrip('/') for part in (data_root, prefix or split) if part)
        self.index = open_index(self.data_root)
        self.with_label = with_label
        self.window = window
        # Of images outside the folders of classes there is no label.
        labeled = self.index.entries['label'] >= 0 if with_label else None
        self._numbers = None if labeled is None or labeled.all() else np.flatnonzero(labeled).astype(np.uint32)
        if with_label and len(self) == 0:
            raise no_labels(self.data_root, config_key)

    def __len__(self) -> int:
        return len(self.index) if self._numbers is None else len(self._numbers)

    def _number(self, index: int) -> int:
        """Place in the index."""
        return index if self._numbers is None else int(self._numbers[index])

    def name(self, index: int) -> str:
        """Folder, shard and name in it."""
        return self.index.path(self._number(index))

    def read(self, index: int) -> bytes:
        """The bytes of an image file.

        Raises:
            OSError: The shard cannot be read.
            DataError: The index does not belong to it.
        """
        return self.index.read(self._number(index))

    def stored_label(self, index: int) -> int | None:
        """The number of the class folder."""
        return int(self.index.entries['label'][self._number(index)]) if self.with_label else None

    def use_classes(self, classes: Sequence[str] | None, config_key: str) -> None:
        """Number labels by classes.

        Raises:
            UserError: A class folder is none of them.
        """
        if self.with_label:
            self.label_by(self.index.classes, classes, config_key)

    def draw_order(self, generator: torch.Generator) -> np.ndarray:
        """The order in which an epoch draws the images: shards shuffled, then blocks of ``window`` images.

        Args:
            generator: Seeded for the epoch.

        Returns:
            int64 ``(N,)``, a permutation.
        """
        shards = self.index.entries['shard']
        shards = shards if self._numbers is None else shards[self._numbers]
        parts = np.split(np.arange(len(self)), np.flatnonzero(shards[1:] != shards[:-1]) + 1)
        order = np.concatenate([parts[i] for i in torch.randperm(len(parts), generator=generator).tolist()])
        for start in range(0, len(order), self.window):
            block = order[start : start + self.window]
            block[:] = block[torch.randperm(len(block), generator=generator).numpy()]
        return order
