"""Image files as they come: kinds that are odd and good, and kinds that are broken."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

SIZE = (48, 36)  # width, height
PIXELS = np.random.RandomState(0).randint(0, 256, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
PHOTO = Image.fromarray(PIXELS)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif_of(orientation, extra=0):
    exif = Image.Exif()
    exif[0x0112] = orientation
    if extra:
        exif[0x010E] = 'x' * extra  # a description
    return exif


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png(width, height, rows, depth=8, color=2, interlace=0):
    """A PNG file by hand: kinds that Pillow does not write."""
    header = struct.pack('>IIBBBBB', width, height, depth, color, 0, 0, interlace)
    body = chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + body


def interlaced():
    """Adam7 of an image of 8 x 8 px: seven passes, each row with its filter's number."""
    passes = [(1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4)]
    return png(8, 8, b''.join((b'\0' + b'\x40\x80\xc0' * width) * height for width, height in passes), interlace=1)


def deep():
    row = b'\0' + b''.join(struct.pack('>HHH', 257 * x, 30000, 60000) for x in range(8))
    return png(8, 8, row * 8, depth=16)


def with_profile():
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()


def quarter(data, share=0.5):
    return data[: int(len(data) * share)]


JPEG, PNG = encoded(PHOTO, 'jpeg'), encoded(PHOTO, 'png')
PAGES = [PHOTO, PHOTO.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]

# Name of the file -> its bytes.
GOOD = {
    'cmyk.jpg': encoded(PHOTO.convert('CMYK'), 'jpeg'),
    'gray.jpg': encoded(PHOTO.convert('L'), 'jpeg'),
    'progressive.jpg': encoded(PHOTO, 'jpeg', progressive=True),
    'no_subsampling.jpg': encoded(PHOTO, 'jpeg', subsampling=0, quality=100),
    'restart_markers.jpg': encoded(PHOTO, 'jpeg', restart_marker_blocks=1),
    'optimized.jpg': encoded(PHOTO, 'jpeg', optimize=True, quality=1),
    **{f'orientation_{n}.jpg': encoded(PHOTO, 'jpeg', exif=exif_of(n)) for n in range(1, 9)},
    'huge_exif.jpg': encoded(PHOTO, 'jpeg', exif=exif_of(1, 60000)),
    'comment.jpg': encoded(PHOTO, 'jpeg', comment=b'\xff\xd9 is no end here'),
    'profile.jpg': encoded(PHOTO, 'jpeg', icc_profile=with_profile()),
    'thumbnail.jpg': encoded(PHOTO, 'jpeg', exif=b'Exif\0\0' + encoded(PHOTO.resize((8, 8)), 'jpeg')),
    'bytes_behind.jpg': JPEG + b'\0' * 999,
    'motion_photo.jpg': JPEG + b'....ftypmp42' + JPEG[:200],
    'fill_bytes.jpg': JPEG[:2] + b'\xff\xff' + JPEG[2:],
    'is_png.jpg': PNG,
    'deep_gray.png': encoded(Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257), 'png'),
    'deep.png': deep(),
    'palette.png': encoded(PHOTO.quantize(16), 'png'),
    'palette_with_transparency.png': encoded(PHOTO.quantize(16), 'png', transparency=0),
    'one_bit.png': encoded(PHOTO.convert('1'), 'png'),
    'gray_alpha.png': encoded(PHOTO.convert('LA'), 'png'),
    'alpha.png': encoded(PHOTO.convert('RGBA'), 'png'),
    'interlaced.png': interlaced(),
    'profile.png': encoded(PHOTO, 'png', icc_profile=with_profile()),
    'bytes_behind.png': PNG + b'behind',
    'is_jpeg.png': JPEG,
    'one_pixel.png': encoded(PHOTO.resize((1, 1)), 'png'),
    'long_and_thin.png': encoded(PHOTO.resize((3000, 1)), 'png'),
    'lossy.webp': encoded(PHOTO, 'webp'),
    'lossless.webp': encoded(PHOTO, 'webp', lossless=True),
    'alpha.webp': encoded(PHOTO.convert('RGBA'), 'webp'),
    'animated.webp': encoded(PHOTO, 'webp', save_all=True, append_images=PAGES[1:]),
    'plain.bmp': encoded(PHOTO, 'bmp'),
    'palette.bmp': encoded(PHOTO.quantize(16), 'bmp'),
    'one_bit.bmp': encoded(PHOTO.convert('1'), 'bmp'),
    'plain.ppm': encoded(PHOTO, 'ppm'),
    'gray.pgm': encoded(PHOTO.convert('L'), 'ppm'),
    'plain.tiff': encoded(PHOTO, 'tiff'),
    'lzw.tif': encoded(PHOTO, 'tiff', compression='tiff_lzw'),
    'deflate.tif': encoded(PHOTO, 'tiff', compression='tiff_adobe_deflate'),
    'cmyk.tif': encoded(PHOTO.convert('CMYK'), 'tiff'),
    'alpha.tif': encoded(PHOTO.convert('RGBA'), 'tiff'),
    'deep.tif': encoded(Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257), 'tiff'),
    'one_bit.tif': encoded(PHOTO.convert('1'), 'tiff'),
    'pages.tif': encoded(PHOTO, 'tiff', save_all=True, append_images=PAGES[1:]),
    'UPPER.JPG': JPEG,
    'Upper.PnG': PNG,
    'höhe 図 émoji 😀.jpg': JPEG,
    'quote\'and"more;$HOME.jpg': JPEG,
    'line\nbreak.png': PNG,
    'two.dots.in.name.jpeg': JPEG,
}

_ROWS = PNG.index(b'IDAT') + 30
BROKEN = {
    'empty.jpg': b'',
    'empty.png': b'',
    'zeros.jpg': b'\0' * 2000,
    'text.jpg': b'not an image\n' * 20,
    'page.jpg': b'<!DOCTYPE html><html><body>404 Not Found</body></html>',
    'half.jpg': quarter(JPEG),
    'without_end.jpg': JPEG[:-2],
    'last_bytes_gone.jpg': JPEG[:-40],
    'header_alone.jpg': JPEG[:2],
    'half_header.jpg': JPEG[:100],
    'progressive_half.jpg': quarter(GOOD['progressive.jpg']),
    'half_with_thumbnail.jpg': quarter(GOOD['thumbnail.jpg'], 0.8),
    'zeros_behind_half.jpg': quarter(JPEG) + b'\0' * (len(JPEG) // 2),
    'half.png': quarter(PNG),
    'without_end.png': PNG[:-12],
    'signature_alone.png': PNG[:8],
    'flipped_bytes.png': PNG[:_ROWS] + bytes(255 - b for b in PNG[_ROWS : _ROWS + 40]) + PNG[_ROWS + 40 :],
    'bomb.png': png(60000, 60000, b''),
    'half.webp': quarter(GOOD['lossy.webp']),
    'header_alone.webp': GOOD['lossy.webp'][:20],
    'half.bmp': quarter(GOOD['plain.bmp']),
    'half.tif': quarter(GOOD['plain.tiff']),
    'lzw_half.tif': quarter(GOOD['lzw.tif']),
    'half.ppm': quarter(GOOD['plain.ppm']),
    'program.png': b'\x7fELF' + b'\0' * 500,
    'archive.jpg': b'PK\x03\x04' + b'\0' * 500,
    'line\nbreak.jpg': b'',
}


def write(folder, files):
    """Write files, and links and folders that are named as images."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder
