"""A dataset of images in a folder that Hugging Face's ``datasets`` has saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmimg2vec.datasets.stored import StoredImages, no_labels
from mmimg2vec.environment import require
from mmimg2vec.errors import UserError
from mmimg2vec.registry import DATASETS


@DATASETS.register_module()
class HFImages(StoredImages):
    """Images of a folder written by ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk``.

    The files are read as they were encoded, by this project's loader: broken images, EXIF orientation and reduced
    decoding are as everywhere. Needs the package ``datasets``; nothing is downloaded. (The project's choice.)

    Args:
        data_root: The folder.
        split: Name of the split, where the folder has some.
        pipeline: Configs of transforms.
        with_label: Label images by the column ``label_column``.
        metainfo: May have ``classes``.
        image_column: Column of the images.
        label_column: Column of the labels, of the type ``ClassLabel``.
        config_key: Where the dataset stands in the config, for messages.

    Raises:
        UserError: The package is missing, or the folder, the split or a column.
    """

    def __init__(
        self,
        data_root: str,
        split: str = '',
        pipeline: Sequence[Any] = (),
        with_label: bool = True,
        metainfo: dict | None = None,
        image_column: str = 'image',
        label_column: str = 'label',
        config_key: str = 'train_dataloader.dataset.dataset',
    ) -> None:
        datasets = require('datasets', 'HFImages')
        super().__init__(pipeline, metainfo)
        self.data_root = str(Path(data_root).expanduser())
        try:
            table = datasets.load_from_disk(self.data_root)
        except (OSError, ValueError) as error:
            raise UserError(
                f'{data_root} is no folder of Hugging Face datasets ({error}): write one with save_to_disk '
                f'({config_key}.data_root)'
            ) from error
        if isinstance(table, datasets.DatasetDict):
            if split not in table:
                raise UserError(f'{data_root} has the splits {", ".join(table)}: set {config_key}.split to one of them')
            table = table[split]
        features = table.features
        if not isinstance(features.get(image_column), datasets.Image):
            images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
            raise UserError(
                f'{data_root} has no images in the column {image_column!r} (columns of images: '
                f'{", ".join(images) or "none"}): set {config_key}.image_column'
            )
        self.image_column, self.label_column = image_column, label_column
        self._names = getattr(features.get(label_column), 'names', None) if with_label else None
        if with_label and self._names is None:
            raise no_labels(self.data_root, config_key)
        # Each column alone, so that a label is read without its image; images are not decoded.
        self._images = table.select_columns(image_column).cast_column(image_column, datasets.Image(decode=False))
        self._label_rows = table.select_columns(label_column) if with_label else None

    def __len__(self) -> int:
        return len(self._images)

    def name(self, index: int) -> str:
        """Folder and number; reading the file's own name would read the image."""
        return f'{self.data_root}/{index}'

    def read(self, index: int) -> bytes:
        """The bytes of an image file.

        Raises:
            OSError: They are in a file beside the folder that cannot be read.
        """
        image = self._images[index][self.image_column]
        if image is None:
            raise OSError('no image in this row')
        return image['bytes'] if image['bytes'] is not None else Path(image['path']).read_bytes()

    def stored_label(self, index: int) -> int | None:
        """The number of the class."""
        return None if self._label_rows is None else int(self._label_rows[index][self.label_column])

    def use_classes(self, classes: Sequence[str] | None, config_key: str) -> None:
        """Number labels by classes.

        Raises:
            UserError: A class is none of them.
        """
        if self._names is not None:
            self.label_by(self._names, classes, config_key)
