"""What the first and the last bytes of an image file say: its size, whether it is turned, whether it is whole."""

from __future__ import annotations

import io
import re
import struct

from PIL import Image

#: Orientations that exchange height and width, of those of EXIF, 1 to 8.
TURNED = (5, 6, 7, 8)
# Orientations in which rows, or columns, run from the end of what is stored to its beginning.
_ROWS_REVERSED, _COLUMNS_REVERSED = (3, 4, 7, 8), (2, 3, 6, 7)
_ORIENTATION = 0x0112  # EXIF's number of it
_JPEG = b'\xff\xd8'
_JPEG_END = b'\xff\xd9'
_PNG = b'\x89PNG'
_PNG_END = b'IEND\xaeB`\x82'  # the chunk's checksum is always this one
# A marker in the data of a scan: 0xFF followed by none of a stuffed zero, a restart marker and a fill byte.
_MARKER = re.compile(rb'\xff[^\x00\xd0-\xd7\xff]')
_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def is_jpeg(data: bytes) -> bool:
    """Whether an image file begins as JPEG files do, whatever its name."""
    return data.startswith(_JPEG)


def missing_end(data: bytes) -> bool:
    """Whether a file has been cut short, which decoders fill with gray rather than refuse.

    A JPEG file is walked from marker to marker to its end of image: what follows that, such as the video of a motion
    photo, is nobody's business, and a thumbnail's markers lie inside a segment. PNG, WebP and BMP name their end or
    length. Other formats return False.
    """
    if is_jpeg(data):
        return not _walk_jpeg(data)[1]
    if data.startswith(_PNG):
        return data.rfind(_PNG_END) < 0
    if data[:4] == b'RIFF' and data[8:12] == b'WEBP':
        return len(data) < 8 + struct.unpack('<I', data[4:8])[0]
    if data[:2] == b'BM' and len(data) >= 6:
        return len(data) < struct.unpack('<I', data[2:6])[0]
    return False


def stored_size(data: bytes) -> tuple[int, int] | None:
    """Height and width from the header, not turned; None where it names none that is understood."""
    if is_jpeg(data):
        return _walk_jpeg(data, to_end=False)[0]
    if data.startswith(_PNG) and len(data) >= 24:
        width, height = struct.unpack('>II', data[16:24])
        return height, width
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.height, image.width
    except Image.DecompressionBombError:
        return 1 << 31, 1 << 31
    except Exception:  # the decoder will say what is wrong
        return None


def orientation(image: Image.Image) -> int:
    """EXIF's orientation of a photo, 1 where it names none."""
    return image.getexif().get(_ORIENTATION, 1)


def jpeg_orientation(data: bytes) -> int | None:
    """EXIF's orientation of a JPEG file; None where its header is damaged."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return orientation(image)
    except Exception:  # the decoder will say what is wrong
        return None


def reversed_axes(orientation: int) -> tuple[bool, bool]:
    """Whether the rows, and the columns, of a photo turned by its orientation run against what is stored."""
    return orientation in _ROWS_REVERSED, orientation in _COLUMNS_REVERSED


def _walk_jpeg(data: bytes, to_end: bool = True) -> tuple[tuple[int, int] | None, bool]:
    """Height and width as stored, where they are named, and whether the end of the image is there.

    Args:
        data: The file.
        to_end: False stops where the data of the first scan begin.
    """
    size, position = None, 2
    while True:
        position = data.find(b'\xff', position)
        if position < 0 or position + 1 >= len(data):
            return size, False
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        position += 2
        if marker == 0xD9:
            return size, True
        if marker in (0, 1) or 0xD0 <= marker <= 0xD8:  # without a segment
            continue
        if position + 2 > len(data):
            return size, False
        (length,) = struct.unpack('>H', data[position : position + 2])
        if marker in _SIZE_MARKERS and position + 7 <= len(data):
            size = struct.unpack('>HH', data[position + 3 : position + 7])
        position += length
        if marker == 0xDA:
            # Most files end with the image. The data of a scan cannot hold these two bytes: they need no search then.
            if not to_end or (len(data) >= position + 2 and data.endswith(_JPEG_END)):
                return size, to_end
            found = _MARKER.search(data, position)
            if found is None:
                return size, False
            position = found.start()
