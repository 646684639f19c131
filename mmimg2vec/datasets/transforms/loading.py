"""Image loading that tells an unreadable file from a wrong set-up, and decodes no more than a crop needs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmpretrain.datasets.transforms import RandomResizedCrop

from mmimg2vec.datasets.errors import DataError, UnreadableImage
from mmimg2vec.datasets.headers import TURNED, is_jpeg, jpeg_orientation, reversed_axes, stored_size
from mmimg2vec.datasets.reading import MAX_PIXELS, REDUCTIONS, decode, read_bytes
from mmimg2vec.registry import TRANSFORMS

# OpenCV averages so many at once.
_MOST_CHANNELS = 4


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
        img = self._decode(results, self._read(results))
        results['img'] = img
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results

    def _read(self, results: dict) -> bytes:
        """The bytes of a sample's image: of the file ``img_path``, or what ``stored`` of the sample gives."""
        return read_bytes(results['img_path'], self.max_pixels, self.backend_args, results.pop('stored', None))

    def _decode(self, results: dict, data: bytes, reduction: int = 1) -> np.ndarray:
        path = results['img_path']
        img = decode(
            path,
            data,
            self.color_type,
            self.imdecode_backend,
            self.channels,
            self.value_range is not None,
            reduction,
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
        return self._scale(img, path)

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


@TRANSFORMS.register_module()
class LoadRandomResizedCrop(LoadImage):
    """:class:`LoadImage` and ``mmpretrain.RandomResizedCrop`` in one, which decodes a large photo at a reduced scale.

    The crop is drawn in the coordinates of the photo as ``RandomResizedCrop`` draws it: the same seeds give the same
    crops. Where a JPEG file has a crop that is twice as large as the target or more, it is decoded at a half, a quarter
    or an eighth of its sides, the smallest at which the crop is still at least as large as the target. The edges of the
    crop are rounded to pixels of that scale. All else is decoded whole: other formats and channels, values of other
    ranges, samples whose annotation names a size. (The project's choice.)

    Args:
        scale: Size of the result in pixels, or (height, width).
        crop_ratio_range: Smallest and largest area of the crop as a share of the photo's; MAE: 0.2 to 1.
        aspect_ratio_range: Smallest and largest width / height of the crop.
        interpolation: ``'area'`` averages the pixels where the crop is larger than the result, a low-pass filter, and
            is ``'bicubic'`` where it is smaller. Or one of mmcv's, such as ``'bicubic'``, which with OpenCV takes no
            more than 4 x 4 pixels into account however large the crop.
        backend: ``'cv2'``, or ``'pillow'``, whose filters all average where they shrink, and which is slower.
        **kwargs: Arguments of :class:`LoadImage`.

    Raises:
        DataError: As :class:`LoadImage`.
    """

    def __init__(
        self,
        scale: int | tuple[int, int],
        crop_ratio_range: tuple[float, float] = (0.08, 1.0),
        aspect_ratio_range: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: str = 'area',
        backend: str = 'cv2',
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if backend == 'pillow' and interpolation == 'area':
            raise DataError("LoadRandomResizedCrop: backend='pillow' has no 'area': its 'bicubic' averages as well")
        size = scale if isinstance(scale, int) else tuple(scale)
        self.crop = RandomResizedCrop(
            size, crop_ratio_range, aspect_ratio_range, interpolation=interpolation, backend=backend
        )

    def transform(self, results: dict) -> dict:
        """Add ``img`` of the size ``scale``, its ``img_shape`` (H, W), and the photo's ``ori_shape``.

        Raises:
            UnreadableImage: The image cannot be used.
            DataError: The file has another number of channels, or values of another type.
        """
        data = self._read(results)
        reduced = self._reduced_crop(results, data)
        if reduced is None:
            img = self._decode(results, data)
            results['ori_shape'] = img.shape[:2]
            top, left, height, width = self._draw(img.shape[:2])
            crop = img[top : top + height, left : left + width]
        else:
            crop, results['ori_shape'] = reduced
        results['img'] = self._resize(crop)
        results['img_shape'] = results['img'].shape[:2]
        return results

    def _reduced_crop(self, results: dict, data: bytes) -> tuple[np.ndarray, tuple[int, int]] | None:
        """The crop at a reduced scale, and the photo's size; None, and nothing drawn, where it is to be decoded whole.

        Raises:
            UnreadableImage: The image cannot be decoded.
            DataError: Its channels are others than expected.
        """
        plain = self.color_type == 'color' and self.imdecode_backend == 'cv2' and self.value_range is None
        if not plain or results.get('height') is not None or not is_jpeg(data):
            return None
        # No crop can be twice the target where the photo is not.
        stored = stored_size(data)
        if stored is None or min(stored) < 2 * min(self.crop.scale):
            return None
        orientation = jpeg_orientation(data)
        if orientation is None:
            return None
        size = stored[::-1] if orientation in TURNED else stored
        state = np.random.get_state()
        top, left, height, width = self._draw(size)
        reduction = max(
            r for r in REDUCTIONS if r == 1 or (height >= r * self.crop.scale[0] and width >= r * self.crop.scale[1])
        )
        if reduction > 1:
            img = self._decode(results, data, reduction)
            # The decoder's own reading of a damaged EXIF header may be another one.
            if img.shape[:2] == tuple(-(-side // reduction) for side in size):
                # A last pixel that the photo does not fill comes first where the photo is turned round.
                y, x = (
                    -side % reduction * turned for side, turned in zip(size, reversed_axes(orientation), strict=True)
                )
                return img[_rounded(top + y, height, reduction), _rounded(left + x, width, reduction)], size
        np.random.set_state(state)
        return None

    def _draw(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Top, left, height and width of a crop of a photo of ``size``."""
        return self.crop.rand_crop_params(SimpleNamespace(shape=size))  # it asks for nothing else

    def _resize(self, img: np.ndarray) -> np.ndarray:
        size, interpolation = self.crop.scale[::-1], self.crop.interpolation
        if interpolation == 'area':
            shrinks = img.shape[0] >= size[1] and img.shape[1] >= size[0]
            way = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            if img.ndim == 2 or img.shape[2] <= _MOST_CHANNELS:
                return cv2.resize(img, size, interpolation=way)
            starts = range(0, img.shape[2], _MOST_CHANNELS)
            parts = [np.ascontiguousarray(img[..., start : start + _MOST_CHANNELS]) for start in starts]
            return np.dstack([cv2.resize(part, size, interpolation=way) for part in parts])
        return mmcv.imresize(img, size, interpolation=interpolation, backend=self.crop.backend)

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.crop})'


def _rounded(start: int, length: int, reduction: int) -> slice:
    return slice(round(start / reduction), round((start + length) / reduction))


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
