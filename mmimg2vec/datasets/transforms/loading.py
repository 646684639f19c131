"""Image loading that tells an unreadable file from a wrong set-up."""

from __future__ import annotations

import io

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio

from mmimg2vec.datasets.errors import DataError, UnreadableImage
from mmimg2vec.registry import TRANSFORMS


def missing_end(data: bytes) -> bool:
    """Whether a JPEG or PNG file has been cut short, which decoders fill with gray rather than refuse.

    A JPEG is complete when no start of scan follows the last end-of-image marker (a thumbnail inside the file has
    markers of its own, before the scan; in the scan's data the markers cannot occur). Other formats return False.
    """
    if data.startswith(b'\xff\xd8'):
        end = data.rfind(b'\xff\xd9')
        return end < 0 or data.find(b'\xff\xda', end) >= 0
    return data.startswith(b'\x89PNG') and b'IEND' not in data[-64:]


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile``, with errors that name the file and what is wrong with it.

    A file that is missing, empty, cut short or not decodable raises :class:`UnreadableImage`, for which
    ``mmimg2vec.SeededDataset`` takes another sample. Files named ``*.npy`` hold arrays (H, W) or (H, W, C); images of
    other channel counts than 3 need ``color_type='unchanged'``, TIFF files of more than 4 channels also
    ``imdecode_backend='tifffile'``.

    Args:
        channels: Expected number of channels of every image.
        kwargs: Arguments of ``mmcv.transforms.LoadImageFromFile``.

    Raises:
        DataError: An image has another number of channels, or a type that torch cannot stack.
    """

    def __init__(self, channels: int = 3, **kwargs) -> None:
        super().__init__(**kwargs)
        self.channels = channels

    def transform(self, results: dict) -> dict:
        """Add ``img`` (H, W, C), ``img_shape`` and ``ori_shape``, both (H, W).

        Raises:
            DataError: The file has another number of channels, or values of another type.
        """
        path = results['img_path']
        img = self._decode(path, self._read(path))
        found = 1 if img.ndim == 2 else img.shape[-1]
        if found != self.channels:
            raise DataError(
                f'{path} has {found} channels where {self.channels} are expected: set channels={found} in the '
                "pipeline's LoadImage and in_channels of the backbone, or remove the file"
                + ("; color_type='unchanged' keeps the channels of a file" if self.channels != 3 else '')
            )
        if self.to_float32:
            img = img.astype(np.float32)
        elif img.dtype not in (np.uint8, np.float32):
            raise DataError(f"{path} holds {img.dtype} values: set to_float32=True in the pipeline's LoadImage")
        results['img'] = img
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results

    def _read(self, path: str) -> bytes:
        try:
            data = fileio.get(path, backend_args=self.backend_args)
        except FileNotFoundError as error:
            raise UnreadableImage(path, 'missing') from error
        except OSError as error:
            raise UnreadableImage(path, str(error)) from error
        if not data:
            raise UnreadableImage(path, 'empty file')
        if missing_end(data):
            raise UnreadableImage(path, 'cut short')
        return data

    def _decode(self, path: str, data: bytes) -> np.ndarray:
        try:
            if path.endswith('.npy'):
                img = np.load(io.BytesIO(data), allow_pickle=False)
            else:
                img = mmcv.imfrombytes(data, flag=self.color_type, backend=self.imdecode_backend)
        except ImportError as error:
            raise DataError(
                f'imdecode_backend={self.imdecode_backend!r} needs a package that is missing ({error}); run: pip '
                f'install {self.imdecode_backend}'
            ) from error
        except Exception as error:  # each decoder has exceptions of its own for what it cannot read
            raise UnreadableImage(path, f'not decodable ({error})') from error
        if img is None or img.ndim not in (2, 3) or img.size == 0:
            raise UnreadableImage(path, 'not decodable as an image')
        return img
