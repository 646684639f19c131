"""One way to read an image file, for the loader, the checks, inference and the search for broken files alike."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
from mmengine import fileio
from PIL import Image

from mmimg2vec.datasets.errors import DataError, UnreadableImage
from mmimg2vec.datasets.headers import TURNED, missing_end, orientation, stored_size
from mmimg2vec.utils.mistaken_files import kind_of

#: Endings of the names of image files, in lower case: the one list for training, inference, probes and tools.
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.ppm', '.pgm', '.tif', '.tiff', '.webp')
#: Larger pictures are refused before they are decoded: a small file may hold gigabytes of one color.
MAX_PIXELS = 200_000_000

_COLORS = 3  # bands of an ordinary TIFF file
_TIFF = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
# Flags of OpenCV under which libjpeg computes a picture of half, a quarter or an eighth of each side from the first
# coefficients of each block: a low-pass filter that also saves most of the decoding.
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
#: By how much :func:`decode` can reduce the sides of a JPEG file while it decodes.
REDUCTIONS = (1, *_REDUCED)


def is_hidden(path: Path) -> bool:
    """Whether a path, relative to the folder that is looked through, is in a hidden folder or itself hidden."""
    return any(part.startswith('.') for part in path.parts)


def read_bytes(
    path: str,
    max_pixels: int | None = MAX_PIXELS,
    backend_args: dict | None = None,
    stored: Callable[[], bytes] | None = None,
) -> bytes:
    """Read an image file and check that it is whole, without decoding it.

    Args:
        path: The file.
        max_pixels: Largest accepted number of pixels; None accepts any.
        backend_args: Of mmengine's file backends.
        stored: Gives the file's bytes where they lie in a larger file, such as a shard; ``path`` is then a name alone.

    Raises:
        UnreadableImage: It is missing, empty, cut short, or larger than ``max_pixels``.
    """
    try:
        data = fileio.get(path, backend_args=backend_args) if stored is None else stored()
    except FileNotFoundError as error:
        raise UnreadableImage(path, 'missing') from error
    except OSError as error:
        raise UnreadableImage(path, str(error)) from error
    if not data:
        raise UnreadableImage(path, 'empty file')
    if missing_end(data):
        raise UnreadableImage(path, 'cut short')
    size = None if max_pixels is None or path.endswith('.npy') else stored_size(data)
    if size is not None and max_pixels is not None and size[0] * size[1] > max_pixels:
        raise UnreadableImage(
            path,
            f'{size[0]} x {size[1]} px are more than max_pixels={max_pixels}: make it smaller, or raise max_pixels',
        )
    return data


def read_image(
    path: str,
    color_type: str = 'color',
    backend: str | None = 'cv2',
    channels: int | None = None,
    full_depth: bool = False,
    max_pixels: int | None = MAX_PIXELS,
    backend_args: dict | None = None,
    stored: Callable[[], bytes] | None = None,
) -> np.ndarray:
    """Read and decode an image.

    Args:
        path: The file; one named ``*.npy`` holds an array (H, W) or (H, W, C).
        color_type: As mmcv has it: ``'color'`` (turned by the EXIF orientation), ``'color_ignore_orientation'``,
            ``'unchanged'`` (all channels, not turned), ...
        backend: Decoder, as mmcv names them.
        channels: With ``'unchanged'``: expected channels. A TIFF file of other counts than 1 and 3 is read by tifffile,
            its bands in the order of the file.
        full_depth: Keep 16-bit values; otherwise ``'color'`` keeps their upper eight bits.
        max_pixels: As :func:`read_bytes` has it.
        backend_args: Of mmengine's file backends.
        stored: As :func:`read_bytes` has it.

    Returns:
        As :func:`decode`.

    Raises:
        UnreadableImage: It cannot be read.
        DataError: A package is missing, or a TIFF file has more bands than the pipeline keeps.
    """
    path = str(path)
    data = read_bytes(path, max_pixels, backend_args, stored)
    return decode(path, data, color_type, backend, channels, full_depth)


def decode(
    path: str,
    data: bytes,
    color_type: str = 'color',
    backend: str | None = 'cv2',
    channels: int | None = None,
    full_depth: bool = False,
    reduction: int = 1,
) -> np.ndarray:
    """Decode the bytes of an image.

    Args:
        path: Its name.
        data: As :func:`read_bytes` gives them.
        color_type: As :func:`read_image` has it.
        backend: Likewise.
        channels: Likewise.
        full_depth: Likewise.
        reduction: One of :data:`REDUCTIONS`: the sides of the picture are divided by it, rounded up. Others than 1 for
            JPEG files as ``'color'`` only, by OpenCV.

    Returns:
        ``(H, W)`` or ``(H, W, C)``, three channels in the order BGR.

    Raises:
        UnreadableImage: It cannot be decoded.
        DataError: A package is missing, or a TIFF file has more bands than the pipeline keeps.
    """
    try:
        if reduction > 1:
            img = cv2.imdecode(np.frombuffer(data, np.uint8), _REDUCED[reduction])
        elif path.endswith('.npy'):
            img = np.load(io.BytesIO(data), allow_pickle=False)
        elif data[:4] in _TIFF and (bands := _bands(data)) not in (1, _COLORS):
            img = _read_bands(path, data, color_type, abs(bands), channels)
        elif data[:4] in _TIFF and color_type == 'unchanged' and channels not in (None, 1, 3):
            img = _read_bands(path, data, color_type, channels, channels)
        elif full_depth and color_type.startswith('color'):
            ignore = cv2.IMREAD_IGNORE_ORIENTATION if color_type.endswith('ignore_orientation') else 0
            img = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR | ignore)
        else:
            img = mmcv.imfrombytes(data, flag=color_type, backend=backend)
    except ImportError as error:
        raise DataError(f'{path}: {error}; run: pip install {error.name or backend}') from error
    except DataError:
        raise
    except Exception as error:  # each decoder has exceptions of its own for what it cannot read
        if 'imagecodecs' in str(error):
            raise DataError(
                f'{path} is compressed in a way that needs a package; run: pip install imagecodecs'
            ) from error
        raise UnreadableImage(path, kind_of(data) or f'not decodable ({error})') from error
    # An .npy file may hold several arrays, or text.
    if not isinstance(img, np.ndarray) or img.dtype.kind not in 'biuf' or img.ndim not in (2, 3) or img.size == 0:
        kind = None if path.endswith('.npy') else kind_of(data)
        raise UnreadableImage(path, kind or 'not decodable as an image')
    return img


def image_size(path: str | Path, turned: bool = True) -> tuple[int, int] | None:
    """Height and width of an image from its header, as the loader will give it; None where it cannot be read.

    Args:
        path: The file.
        turned: The loader turns it by its EXIF orientation.
    """
    try:
        with Image.open(path) as image:
            return (
                (image.width, image.height) if turned and orientation(image) in TURNED else (image.height, image.width)
            )
    except Exception:  # what is wrong will be said by the loader
        return None


def depth_problem(samples: Iterable[Mapping[str, Any]], loader: Any) -> str | None:
    """Why a loader loses the values of 16-bit files, or None.

    Of 16-bit color and gray files a loader keeps the upper eight bits: right for photos, whose values fill the 16 bits,
    and wrong for data of 12 bits, of which 16 gray levels are left.

    Args:
        samples: Some samples: ``img_path``, and ``stored`` as :func:`read_bytes` has it where there is one.
        loader: An ``mmimg2vec.LoadImage``; others pass.
    """
    if getattr(loader, 'value_range', 0) is not None or not loader.color_type.startswith('color'):
        return None
    deep, top = [], 0
    for sample in samples:
        path = sample['img_path']
        try:
            data = read_bytes(path, loader.max_pixels, loader.backend_args, sample.get('stored'))
        except UnreadableImage:
            continue
        is_deep_png = data.startswith(b'\x89PNG') and data[24:25] == b'\x10'
        if not is_deep_png and data[:4] not in _TIFF and data[:2] not in (b'P5', b'P6'):
            continue
        img = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
        if img is not None and img.dtype == np.uint16:
            deep.append(path)
            top = max(top, int(img.max()))
    if not deep or top >= 1 << 14:
        return None
    return (
        f'{deep[0]} and others hold 16-bit values of which the highest is {top}, and the upper eight bits that are '
        f'read would keep {(top >> 8) + 1} gray levels: set value_range=(0, {(1 << top.bit_length()) - 1}), the range '
        "of the data, in the pipeline's LoadImage"
    )


def unreadable(path: str | Path) -> str | None:
    """Why an image cannot be read, or None."""
    try:
        read_image(str(path))
    except UnreadableImage as error:
        return error.reason
    except DataError as error:
        return str(error)
    return None


def _bands(data: bytes) -> int:
    """Bands of a TIFF file by its header, 1 where it cannot be read; negative where each is a page of its own."""
    try:
        import tifffile

        with tifffile.TiffFile(io.BytesIO(data)) as file:
            first = file.pages[0]
            pages = sum(page.shape == first.shape for page in file.pages)
            return -pages if first.samplesperpixel == 1 and pages > 1 else first.samplesperpixel
    except ImportError:
        try:
            with Image.open(io.BytesIO(data)) as image:
                bands = int((getattr(image, 'tag_v2', None) or {}).get(277, 1))
                pages = getattr(image, 'n_frames', 1)
                return -pages if bands == 1 and pages > 1 else bands
        except Exception:  # Pillow knows no TIFF files of five bands and more
            return 0
    except Exception:  # a broken header; the decoder will say so
        return 1


def _read_bands(path: str, data: bytes, color_type: str, bands: int, channels: int | None) -> np.ndarray:
    """A TIFF file of other band counts than 1 and 3: OpenCV multiplies colors by a fourth band, and loses a fifth.

    Raises:
        DataError: The pipeline keeps three bands, and these are no colors.
    """
    if color_type != 'unchanged':
        try:
            with Image.open(io.BytesIO(data)) as image:
                if image.mode in ('RGBA', 'RGBX', 'LA', 'CMYK'):  # the fourth band is alpha, or the colors are ink
                    return np.array(image.convert('RGB'))[..., ::-1]
        except OSError:
            pass
        raise DataError(
            f"{path} has {bands} bands: set channels={bands} and color_type='unchanged' in the pipeline's LoadImage "
            f'and in_channels={bands} of the backbone'
        )
    import tifffile

    img = tifffile.imread(io.BytesIO(data))
    wanted = channels or bands
    if img.ndim == 3 and img.shape[-1] != wanted and img.shape[0] == wanted:
        img = np.ascontiguousarray(img.transpose(1, 2, 0))  # band by band, or a page for each
    return img
