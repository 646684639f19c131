"""The base of datasets whose images are no files of their own, but lie in larger files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from mmengine.dataset import Compose

from mmimg2vec.datasets.image_files import label_folders
from mmimg2vec.errors import UserError


class StoredImages:
    """A dataset of images in larger files, read one by one and in any order.

    A sample has ``img_path``, a name for messages, and ``stored``, which reads its bytes when it is called; so
    ``mmimg2vec.LoadImage`` checks and decodes it as any image. With labels it has ``gt_label``. Everything that a
    dataset of mmengine is asked for by this project and by mmengine's sampler is answered.

    Args:
        pipeline: Configs of transforms, the first of which loads the image.
        metainfo: May have ``classes``, names in the order of their labels.

    Attributes:
        data_root: Where the images are.
    """

    data_root: str

    def __init__(self, pipeline: Sequence[Any] = (), metainfo: dict | None = None) -> None:
        self.pipeline = Compose(list(pipeline))
        self.metainfo: dict[str, Any] = dict(metainfo or {})
        self._labels: np.ndarray | None = None  # label in the files -> label

    def __len__(self) -> int:
        raise NotImplementedError

    def name(self, index: int) -> str:
        """Name of an image for messages."""
        raise NotImplementedError

    def read(self, index: int) -> bytes:
        """The bytes of an image file."""
        raise NotImplementedError

    def stored_label(self, index: int) -> int | None:
        """The label in the files; None for images without labels."""
        raise NotImplementedError

    def __getitem__(self, index: int) -> Any:
        """Load a sample."""
        return self.pipeline(self.get_data_info(index))

    def get_data_info(self, index: int) -> dict[str, Any]:
        """A sample before the pipeline."""
        info = {'img_path': self.name(index), 'stored': partial(self.read, index), 'sample_idx': index}
        label = self.stored_label(index)
        if label is not None:
            info['gt_label'] = label if self._labels is None else int(self._labels[label])
        return info

    def full_init(self) -> None:
        """Nothing is left to read."""

    def label_by(self, found: Sequence[str], others: Sequence[str] | None, config_key: str) -> None:
        """Name the classes, and number labels by them.

        Args:
            found: Names of the labels in the files.
            others: Names of the classes that are trained on, or vote; None where these are they.
            config_key: Where the dataset stands in the config, for messages.

        Raises:
            UserError: A name is none of the classes.
        """
        labels = label_folders(list(found), self.metainfo.get('classes'), others, self.data_root, config_key)
        self._labels = np.array([labels[name] for name in found], np.int64)
        self.metainfo.setdefault('classes', tuple(others or found))

    def use_classes(self, classes: Sequence[str] | None, config_key: str) -> None:
        """Number labels by the classes that are trained on, or vote; None keeps those of the files.

        Raises:
            UserError: The images have no labels, or other ones.
        """
        raise NotImplementedError


def no_labels(root: str, config_key: str) -> UserError:
    """The error of labels that are wanted where there are none."""
    return UserError(
        f'the images in {root} are in no folders of classes: for unlabeled images set {config_key}.with_label=False'
    )
