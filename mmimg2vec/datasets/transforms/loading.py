"""Image loading that tells an unreadable file from a wrong set-up."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import LoadImageFromFile

from mmimg2vec.datasets.errors import DataError, UnreadableImage
from mmimg2vec.datasets.reading import MAX_PIXELS, read_image
from mmimg2vec.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile``, with errors that name the file and what is wrong with it.

    A file that is missing, empty, cut short, not decodable, larger than ``max_pixels`` or of another size than its
    annotation raises :class:`UnreadableImage`, for which ``mmimg2vec.SeededDataset`` takes another sample. Files named
    ``*.npy`` hold arrays (H, W) or (H, W, C); images of other channel counts than 3 need ``color_type='unchanged'``,
    and TIFF files of other counts than 1 and 3 the package tifffile.

    Student and teacher take values from 0 to 255. Data of another range, such as 12 bits in 16 or reflectances from 0
    to 1, name it as ``value_range``.

    Args:
        channels: Expected number of channels of every image; None takes any.
        value_range: Lowest and highest value of the data, which become 0.0 and 255.0 (values outside are clipped);
            None takes values as they are, of 16-bit color files the upper eight bits.
        max_pixels: Larger images are unreadable, and not decoded.
        kwargs: Arguments of ``mmcv.transforms.LoadImageFromFile``.

    Raises:
        DataError: An image has another number of channels, or a type that torch cannot stack.
    """

    def __init__(
        self,
        channels: int | None = 3,
        value_range: tuple[float, float] | None = None,
        max_pixels: int | None = MAX_PIXELS,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if value_range is not None and not value_range[0] < value_range[1]:
            raise DataError(f'value_range={value_range} of LoadImage has to be (lowest, highest): correct it')
        self.channels = channels
        self.value_range = value_range
        self.max_pixels = max_pixels

    def transform(self, results: dict) -> dict:
        """Add ``img`` (H, W, C), ``img_shape`` and ``ori_shape``, both (H, W).

        Raises:
            UnreadableImage: The image cannot be used.
            DataError: The file has another number of channels, or values of another type.
        """
        path = results['img_path']
        img = read_image(
            path,
            self.color_type,
            self.imdecode_backend,
            self.channels,
            self.value_range is not None,
            self.max_pixels,
            self.backend_args,
        )
        found = 1 if img.ndim == 2 else img.shape[-1]
        if self.channels is not None and found != self.channels:
            raise DataError(
                f'{path} has {found} channels where {self.channels} are expected: set channels={found} in the '
                "pipeline's LoadImage and in_channels of the backbone, or remove the file"
                + ("; color_type='unchanged' keeps the channels of a file" if self.channels != 3 else '')
            )
        height, width = results.get('height'), results.get('width')
        if height is not None and width is not None and (height, width) != img.shape[:2]:
            raise UnreadableImage(path, size_problem(img.shape[:2], (height, width)))
        results['img'] = self._scale(img, path)
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results

    def _scale(self, img: np.ndarray, path: str) -> np.ndarray:
        if self.value_range is not None:
            low, high = self.value_range
            return np.clip((img.astype(np.float32) - low) * (255 / (high - low)), 0, 255)
        if self.to_float32:
            return img.astype(np.float32)
        if img.dtype not in (np.uint8, np.float32):
            raise DataError(
                f'{path} holds {img.dtype} values ({img.min()} to {img.max()}): set value_range=(LOWEST, HIGHEST) of '
                "the data in the pipeline's LoadImage"
            )
        return img


def size_problem(found: tuple[int, int], given: tuple[int, int]) -> str:
    """What is wrong with an image of another size than its annotation, in one line.

    Args:
        found: Height and width as loaded.
        given: As annotated.
    """
    text = f'{found[0]} x {found[1]} (height x width) and its annotation says {given[0]} x {given[1]}'
    if found == given[::-1]:
        text += (
            ': if the photo has an EXIF orientation, and the boxes are for the pixels as stored, set '
            "color_type='color_ignore_orientation' in LoadImage"
        )
    return text
